-- Places in the log for which the tables still have something that is erased: by its session; if it is rejected, also
-- by the text in the place of its session, or by its place (see `judge/erasures.rs` for its form).
WITH places AS
(
    SELECT toUInt16(reinterpretAsUInt32(substring(session, 21, 4))) AS partition,
        reinterpretAsUInt64(substring(session, 25, 8)) AS offset
    FROM {erasures}.erasures
    WHERE startsWith(session, repeat('\0', 20))
)
SELECT DISTINCT partition, offset, number
FROM
(
    SELECT partition, offset, toInt8(verdict) AS number
    FROM {database}.ledger
    WHERE verdict IN ('accepted', 'rejected', 'duplicate')
        AND SHA256(toString(session_id)) GLOBAL IN (SELECT session FROM {erasures}.erasures)
    UNION ALL
    SELECT partition, offset, toInt8(2)
    FROM {database}.rejections
    WHERE notEmpty(session_text) AND SHA256(session_text) GLOBAL IN (SELECT session FROM {erasures}.erasures)
    UNION ALL
    SELECT partition, offset, toInt8(2)
    FROM {database}.ledger
    WHERE verdict = 'rejected' AND (partition, offset) GLOBAL IN (SELECT partition, offset FROM places)
)
ORDER BY partition, offset
LIMIT 10000
