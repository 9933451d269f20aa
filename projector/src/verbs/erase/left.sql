-- Rows of these sessions in all tables.
SELECT sum(rows)
FROM
(
    SELECT count() AS rows FROM {database}.ledger WHERE hex(SHA256(toString(session_id))) IN {sessions:Array(String)}
    UNION ALL
    SELECT count() FROM {database}.events WHERE hex(SHA256(toString(session_id))) IN {sessions:Array(String)}
    UNION ALL
    SELECT count() FROM {database}.rejections WHERE hex(SHA256(toString(session_id))) IN {sessions:Array(String)}
    UNION ALL
    SELECT count() FROM {database}.sequences WHERE hex(SHA256(toString(session_id))) IN {sessions:Array(String)}
)
