SELECT toStartOfDay(timestamp) AS day, count() AS events, uniqExact(session_id) AS sessions
FROM peer_events
GROUP BY day
ORDER BY day
