-- Places in the log of which the ledger still says to which session they belong, and the session is erased.
SELECT partition, offset, toInt8(verdict)
FROM {database}.ledger
WHERE verdict IN ('accepted', 'rejected', 'duplicate')
    AND SHA256(toString(session_id)) GLOBAL IN (SELECT session FROM {erasures}.erasures)
ORDER BY partition, offset
LIMIT 10000
