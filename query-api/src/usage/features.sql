{% include "selected.sql" %}
    , counted AS
    (
        SELECT id, count() AS events, countIf(nth = 1) AS sessions, min(time) AS first_seen, max(time) AS last_seen
        FROM selected
        ARRAY JOIN ids AS id, at AS time, arrayEnumerateUniq(ids) AS nth
        GROUP BY id
    )
SELECT category, name, events, sessions, first_seen, last_seen
FROM counted
INNER JOIN features ON features.id = counted.id
ORDER BY
    if({by:String} = 'sessions', toInt64(sessions), toInt64(events)) * if({order:String} = 'least', 1, -1),
    category,
    name
LIMIT {limit:UInt32}
