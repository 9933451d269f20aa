SELECT
    previous_category,
    previous_name,
    category,
    name,
    count() AS count,
    uniqExact(session_id) AS sessions,
    quantileExact(0.5)(timestamp - previous_time) AS median_gap
FROM
(
    SELECT
        session_id,
        category,
        name,
        timestamp,
        lagInFrame(category) OVER session AS previous_category,
        lagInFrame(name) OVER session AS previous_name,
        lagInFrame(timestamp) OVER session AS previous_time,
        row_number() OVER session AS place
    FROM peer_events
    WINDOW session AS (PARTITION BY session_id ORDER BY timestamp ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
WHERE place > 1
GROUP BY previous_category, previous_name, category, name
ORDER BY count DESC
LIMIT 1000
