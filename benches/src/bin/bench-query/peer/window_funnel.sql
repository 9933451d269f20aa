-- OpenPanel's form: how far each session gets, without times. It is wrong where steps repeat or times are equal.
WITH
    (
        SELECT groupArray(name)
        FROM (SELECT name FROM peer_events GROUP BY name ORDER BY count() DESC, name LIMIT 5)
    ) AS steps
SELECT level, count() AS sessions
FROM
(
    SELECT
        session_id,
        windowFunnel(86400000000)(
            toUInt64(toUnixTimestamp64Micro(timestamp)),
            name = steps[1],
            name = steps[2],
            name = steps[3],
            name = steps[4],
            name = steps[5]) AS level
    FROM peer_events
    WHERE name IN (SELECT arrayJoin(steps))
    GROUP BY session_id
)
GROUP BY level
ORDER BY level
