-- Rows of these targets in all tables.
SELECT sum(rows)
FROM
(
    SELECT count() AS rows FROM {database}.ledger WHERE hex(SHA256(toString(session_id))) IN {hashes:Array(String)}
    UNION ALL
    SELECT count() FROM {database}.events WHERE hex(SHA256(toString(session_id))) IN {hashes:Array(String)}
    UNION ALL
    SELECT count() FROM {database}.rejections
    WHERE hex(SHA256(toString(session_id))) IN {hashes:Array(String)}
        OR hex(SHA256(session_text)) IN {hashes:Array(String)}
        OR (partition, offset) IN (SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {offsets:Array(UInt64)})))
    UNION ALL
    SELECT count() FROM {database}.sequences WHERE hex(SHA256(toString(session_id))) IN {hashes:Array(String)}
)
