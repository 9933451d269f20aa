-- Neighbours: each array against itself shifted by one.
WITH
    {from:DateTime64(6, 'UTC')} AS since,
    {to:DateTime64(6, 'UTC')} AS until,
    since = toDateTime64('1900-01-01', 6, 'UTC') AND until = toDateTime64('2299-12-31', 6, 'UTC')
        AND {app:String} = '' AND {category:String} = '' AND {name:String} = '' AS everything,
    (
        SELECT groupArray(id) FROM features
        WHERE ({category:String} = '' OR category = {category:String})
            AND ({name:String} = '' OR name = {name:String})
    ) AS wanted,
    selected AS
    (
        SELECT
            if(everything, features, arrayFilter((feature, time, app) -> time >= since AND time < until
                AND ({app:String} = '' OR app = {app:String}) AND has(wanted, feature), features, times, apps)) AS ids,
            if(everything, times, arrayFilter((time, feature, app) -> time >= since AND time < until
                AND ({app:String} = '' OR app = {app:String}) AND has(wanted, feature), times, features, apps)) AS at
        FROM sequences FINAL
    ),
    pairs AS
    (
        SELECT
            arrayMap((a, b) -> bitShiftLeft(toUInt32(a), 16) + b, arrayPopBack(ids), arrayPopFront(ids)) AS pairs,
            arrayMap((a, b) -> toUnixTimestamp64Micro(b) - toUnixTimestamp64Micro(a), arrayPopBack(at), arrayPopFront(at)) AS gaps
        FROM selected
    ),
    counted AS
    (
        SELECT
            pair,
            count() AS count,
            countIf(nth = 1) AS sessions,
            quantileExactInclusive(0.5)(gap) / 1000 AS median_gap_ms
        FROM pairs
        ARRAY JOIN pairs AS pair, gaps AS gap, arrayEnumerateUniq(pairs) AS nth
        GROUP BY pair
    )
SELECT
    (first.category, first.name) AS from,
    (then.category, then.name) AS to,
    count,
    sessions,
    median_gap_ms
FROM counted
INNER JOIN features AS first ON first.id = toUInt16(bitShiftRight(pair, 16))
INNER JOIN features AS then ON then.id = toUInt16(bitAnd(pair, 65535))
ORDER BY count DESC, from, to
LIMIT {limit:UInt32}
