    , bucketed AS
    (
        SELECT arrayMap(
            time -> toUnixTimestamp64Micro(toDateTime64(multiIf(
                {interval:String} = 'minute', toStartOfMinute(time),
                {interval:String} = 'hour', toStartOfHour(time),
                {interval:String} = 'day', toDateTime64(toStartOfDay(time), 6, 'UTC'),
                {interval:String} = 'week', toDateTime64(toMonday(time), 6, 'UTC'),
                toDateTime64(toStartOfMonth(time), 6, 'UTC')), 6, 'UTC')),
            at) AS buckets
        FROM selected
    )
SELECT bucket AS start, count() AS events, countIf(nth = 1) AS sessions
FROM bucketed
ARRAY JOIN buckets AS bucket, arrayEnumerateUniq(buckets) AS nth
GROUP BY bucket
ORDER BY bucket
