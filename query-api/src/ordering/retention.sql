-- Days are counted since 1900: plain numbers, also for weeks (1900-01-01 was a Monday). A session counts with its first
-- use that passes the filters (`first_uses`). Its cohort is the interval of its own first event.
{% include "selected.sql" %}
    , {days:Int64} * 86400000000 AS length,
    2208988800000000 AS since_1900,
    buckets AS
    (
        SELECT
            intDiv(toUnixTimestamp64Micro(began) + since_1900, length) AS cohort,
            arrayDistinct(arrayMap(time -> intDiv(toUnixTimestamp64Micro(time) + since_1900, length), at)) AS buckets
        FROM selected
        WHERE notEmpty(at)
            {% if ranged %}
            AND began >= since
            {% endif %}
    )
SELECT
    toInt64(cohort * length - since_1900) AS start,
    -- Uses after all periods count only as first uses.
    toUInt32(least(bucket - cohort, {periods:UInt32} + 1)) AS later,
    count() AS sessions,
    countIf(nth = 1) AS first_uses
FROM buckets
ARRAY JOIN buckets AS bucket, arrayEnumerate(buckets) AS nth
GROUP BY cohort, later
ORDER BY cohort, later
