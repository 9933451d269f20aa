-- TRICKY: WITH FILL can't count months, so empty buckets come from the range of bucket starts.
SELECT
    bucket AS start,
    count() AS events,
    uniqExact(session_id) AS sessions
FROM
(
    SELECT
        session_id,
        toDateTime64(multiIf(
            {interval:String} = 'minute', toStartOfMinute(timestamp),
            {interval:String} = 'hour', toStartOfHour(timestamp),
            {interval:String} = 'day', toDateTime64(toStartOfDay(timestamp), 6, 'UTC'),
            {interval:String} = 'week', toDateTime64(toMonday(timestamp), 6, 'UTC'),
            toDateTime64(toStartOfMonth(timestamp), 6, 'UTC')), 6, 'UTC') AS bucket
    FROM events
    WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
        AND ({app:String} = '' OR app = {app:String})
        AND ({category:String} = '' OR category = {category:String})
        AND ({name:String} = '' OR name = {name:String})
)
GROUP BY bucket
ORDER BY bucket
