-- Days since 1900 rather than dates: plain numbers, also for weeks (1900-01-01 was a Monday).
    , buckets AS
    (
        SELECT arrayDistinct(arrayMap(
            time -> intDiv(toUnixTimestamp64Micro(time) + 2208988800000000, 86400000000 * {days:Int64}), at)) AS buckets
        FROM selected
        WHERE notEmpty(at)
    )
SELECT
    toInt64(cohort * {days:Int64} * 86400000000 - 2208988800000000) AS start,
    toUInt32(later) AS later,
    count() AS sessions
FROM
(
    SELECT buckets[1] AS cohort, arrayJoin(buckets) - buckets[1] AS later
    FROM buckets
)
WHERE later <= {periods:UInt32}
GROUP BY cohort, later
ORDER BY cohort, later
