WITH
(
    SELECT groupArray((category, name))
    FROM (SELECT category, name FROM peer_events GROUP BY category, name ORDER BY count() DESC, category, name LIMIT 5)
) AS steps
SELECT level, count() AS sessions
FROM
(
    SELECT
        session_id,
        windowFunnel(86400000000)(
            toUInt64(toUnixTimestamp64Micro(timestamp)),
            (category, name) = steps[1],
            (category, name) = steps[2],
            (category, name) = steps[3],
            (category, name) = steps[4],
            (category, name) = steps[5]) AS level
    FROM peer_events
    GROUP BY session_id
)
GROUP BY level
ORDER BY level
