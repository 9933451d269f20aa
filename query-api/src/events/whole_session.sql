SELECT count() AS events, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM events
PREWHERE session_id = {session_id:UUID}
-- As in session.sql.
SETTINGS optimize_use_projections = 0
