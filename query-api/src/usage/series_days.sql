-- A session counts once in a bucket: on the day whose previous event lies in another bucket, or before the range.
-- Buckets are named by their first day.
{% include "usage/days.sql" %}
    , toDate32('1900-01-01') AS day_one,
    (number -> if({width:Int64} = 0,
        number + 1 - toDayOfMonth(day_one + toIntervalDay(toInt32(number) - 1)),
        intDiv(number - 1, {width:Int64}) * {width:Int64} + 1)) AS start_of
SELECT
    toInt64(start_of(day) - 1) * 86400000000 - 2208988800000000 AS start,
    toUInt64(sum(days.events)) AS events,
    toUInt64(sumIf(days.events, previous < {first_day:UInt32} OR start_of(previous) != start_of(day))) AS sessions
FROM days
WHERE app = {app:String} AND day >= {first_day:UInt32} AND day <= {last_day:UInt32}
GROUP BY start
HAVING events > 0
ORDER BY start
