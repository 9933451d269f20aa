{% include "usage/days.sql" %}
SELECT
    app,
    toUInt64(sum(days.events)) AS events,
    {% if ranged %}
    toUInt64(sumIf(days.events, previous < {first_day:UInt32})) AS sessions,
    {% else %}
    toUInt64(sumIf(days.events, previous = 0)) AS sessions,
    {% endif %}
    min(first) AS first_seen,
    max(last) AS last_seen
FROM days
WHERE app != '' AND ({app:String} = '' OR app = {app:String})
    {% if ranged %}
    AND day >= {first_day:UInt32} AND day <= {last_day:UInt32}
    {% endif %}
GROUP BY app
HAVING events > 0
ORDER BY events DESC, app
