-- The whole session is the path. A session that the range cuts is not whole.
{% include "selected.sql" %}
    , counted AS
    (
        SELECT ids AS path, count() AS count
        FROM selected
        WHERE notEmpty(ids)
            {% if ranged %}
            AND began >= since AND ended < until
            {% endif %}
            AND ({length:UInt8} = 0 OR length(ids) = {length:UInt8})
            AND ({start:UInt16} = 0 OR ids[1] = {start:UInt16})
            AND ({through:UInt16} = 0 OR has(ids, {through:UInt16}))
            AND ({end:UInt16} = 0 OR ids[-1] = {end:UInt16})
        GROUP BY ids
        ORDER BY count DESC
        LIMIT {limit:UInt32} WITH TIES
    )
SELECT
    arrayMap(id -> (known.2)[indexOf(known.1, id)], path) AS steps,
    count,
    count AS sessions
FROM counted
CROSS JOIN (SELECT (groupArray(id), groupArray((category, name))) AS known FROM features) AS dictionary
ORDER BY count DESC, steps
LIMIT {limit:UInt32}
