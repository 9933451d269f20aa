-- Places in the log for which the ledger still names a session that is erased.
SELECT partition, offset, toInt8(verdict)
FROM {database}.ledger
WHERE verdict IN ('accepted', 'rejected', 'duplicate')
    AND SHA256(toString(session_id)) GLOBAL IN (SELECT session FROM {erasures}.erasures)
ORDER BY partition, offset
LIMIT 10000
