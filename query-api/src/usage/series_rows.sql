-- Like series.sql, for a narrow range.
SELECT
    if({width:Int64} = 0,
        toUnixTimestamp64Micro(toDateTime64(toStartOfMonth(timestamp), 6, 'UTC')),
        intDiv(toUnixTimestamp64Micro(timestamp) + 2208988800000000, {width:Int64}) * {width:Int64} - 2208988800000000)
        AS start,
    count() AS events,
    uniqExact(session_id) AS sessions
FROM events
WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
    {% include "filter.sql" %}
GROUP BY start
ORDER BY start
