-- A session counts once a bucket: where its previous event lies in another one, or before the range. Buckets
-- are named by their first day.
WITH
    toDate32('1900-01-01') AS day_one,
    (number -> if({width:Int64} = 0,
        number + 1 - toDayOfMonth(day_one + toIntervalDay(toInt32(number) - 1)),
        intDiv(number - 1, {width:Int64}) * {width:Int64} + 1)) AS start_of
SELECT
    toInt64(start_of(day) - 1) * 86400000000 - 2208988800000000 AS start,
    toUInt64(sum(usage_days.events)) AS events,
    toUInt64(sumIf(usage_days.events, previous < {first_day:UInt32} OR start_of(previous) != start_of(day))) AS sessions
FROM usage_days
WHERE run IN {runs:Array(UInt64)} AND kind = {kind:UInt8} AND app = {app:String}
    AND key = if({kind:UInt8} = 0, 0, (
        SELECT min(id) FROM features
        WHERE category = {category:String} AND ({name:String} = '' OR name = {name:String})))
    AND day >= {first_day:UInt32} AND day <= {last_day:UInt32}
GROUP BY start
HAVING events > 0
ORDER BY start
