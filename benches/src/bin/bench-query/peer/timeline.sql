SELECT *
FROM peer_events
WHERE session_id = (SELECT session_id FROM events ORDER BY timestamp DESC LIMIT 1)
ORDER BY timestamp
