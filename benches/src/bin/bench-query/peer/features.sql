SELECT category, name, count() AS events, uniqExact(session_id) AS sessions, min(timestamp), max(timestamp)
FROM peer_events
GROUP BY category, name
ORDER BY events DESC
