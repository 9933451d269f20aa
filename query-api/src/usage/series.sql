-- Buckets are whole multiples of their width since 1900-01-01, a Monday: plain arithmetic. Months have no width. The
-- times of a session ascend, so a bucket is new to the session if it differs from the bucket before.
{% include "selected.sql" %}
    , bucketed AS
    (
        SELECT if({width:Int64} = 0,
            arrayMap(time -> toUnixTimestamp64Micro(toDateTime64(toStartOfMonth(time), 6, 'UTC')), at),
            arrayMap(time -> intDiv(toUnixTimestamp64Micro(time) + 2208988800000000, {width:Int64}) * {width:Int64}
                - 2208988800000000, at)) AS buckets
        FROM selected
        WHERE notEmpty(at)
    )
SELECT bucket AS start, count() AS events, countIf(bucket != previous) AS sessions
FROM bucketed
ARRAY JOIN buckets AS bucket, arrayPushFront(arrayPopBack(buckets), buckets[1] - 1) AS previous
GROUP BY bucket
ORDER BY bucket
