-- A record with several reasons counts once under each of them, and once under no reason: as the record itself.
SELECT
    start,
    sumIf(records, reason = '') AS records,
    arraySort(groupArrayIf((toString(reason), counted.records), reason != '')) AS reasons
FROM
(
    SELECT
        if({width:Int64} = 0,
            toUnixTimestamp64Micro(toDateTime64(toStartOfMonth(received_at), 6, 'UTC')),
            intDiv(toUnixTimestamp64Micro(received_at) + 2208988800000000, {width:Int64}) * {width:Int64}
                - 2208988800000000) AS start,
        reason,
        count() AS records
    FROM rejections
    ARRAY JOIN arrayPushFront(arrayDistinct(reasons.code), '') AS reason
    WHERE received_at >= {from:DateTime64(6, 'UTC')} AND received_at < {to:DateTime64(6, 'UTC')}
        {% include "filter.sql" %}
        AND ({reason:String} = '' OR (has(reasons.code, {reason:String}) AND reason IN ('', {reason:String})))
    GROUP BY start, reason
) AS counted
GROUP BY start
ORDER BY start
