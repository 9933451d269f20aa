-- Hashes of erased sessions that still have a sequence.
SELECT DISTINCT hex(SHA256(toString(session_id))) AS session
FROM {database}.sequences
WHERE SHA256(toString(session_id)) GLOBAL IN (SELECT session FROM {erasures}.erasures)
LIMIT 1000
