SELECT path, count() AS count, uniqExact(session_id) AS sessions
FROM
(
    SELECT
        session_id,
        arrayMap(event -> event.2, arraySort(groupArray((timestamp, concat(category, '/', name))))) AS names,
        arrayJoin(arrayMap(place -> arraySlice(names, place, 3), range(1, length(names) - 1))) AS path
    FROM peer_events
    GROUP BY session_id
)
GROUP BY path
ORDER BY count DESC
LIMIT 100
