{% include "selected.sql" %}
    , counted AS
    (
        SELECT
            id,
            count() AS events,
            countIf(nth = 1) AS sessions,
            countIf(place = 1) AS begun,
            min(time) AS first_seen,
            max(time) AS last_seen
        FROM selected
        ARRAY JOIN ids AS id, at AS time, arrayEnumerateUniq(ids) AS nth, arrayEnumerate(ids) AS place
        GROUP BY id
    )
-- Each session begins with one of the features, so all sessions together are those that begin with any.
SELECT
    category,
    name,
    events,
    sessions,
    first_seen,
    last_seen,
    sum(events) OVER () AS all_events,
    sum(begun) OVER () AS all_sessions
FROM counted
INNER JOIN features ON features.id = counted.id
ORDER BY
    if({by:String} = 'sessions', toInt64(sessions), toInt64(events)) * if({order:String} = 'least', 1, -1),
    category,
    name
LIMIT {limit:UInt32}
