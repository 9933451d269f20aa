WITH firsts AS
(
    SELECT session_id, category, name, min(timestamp) AS first
    FROM peer_events
    GROUP BY session_id, category, name
)
SELECT a.category, a.name, b.category, b.name, countIf(a.first < b.first) AS sessions, count() AS both
FROM firsts AS a
INNER JOIN firsts AS b ON a.session_id = b.session_id
WHERE (a.category, a.name) != (b.category, b.name)
GROUP BY a.category, a.name, b.category, b.name
ORDER BY sessions DESC
LIMIT 1000
