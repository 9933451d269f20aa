-- Neighbours are found by each array against itself, shifted by one. Exact medians keep every gap, so a gap is kept in
-- 32 bits: microseconds, up to 71 minutes. If a median is longer (`far`), transitions_far.sql finds it.
{% include "selected.sql" %}
    , 4294967295 AS farthest,
    pairs AS
    (
        SELECT
            arrayMap((a, b) -> toUInt32(bitShiftLeft(toUInt32(a), 16) + b), arrayPopBack(ids), arrayPopFront(ids))
                AS pairs,
            arrayMap(gap -> toUInt32(least(gap, farthest)),
                arrayPopFront(arrayDifference(arrayMap(time -> toUnixTimestamp64Micro(time), at)))) AS gaps
        FROM selected
    ),
    counted AS
    (
        SELECT
            pair,
            count() AS count,
            countIf(nth = 1) AS sessions,
            quantileExactInclusive(0.5)(gap) / 1000 AS median_gap_ms,
            intDiv(count, 2) >= count - countIf(gap = farthest) AS far
        FROM pairs
        ARRAY JOIN pairs AS pair, gaps AS gap, arrayEnumerateUniq(pairs) AS nth
        GROUP BY pair
    )
SELECT
    (first.category, first.name) AS from,
    (then.category, then.name) AS to,
    count,
    sessions,
    median_gap_ms,
    toUInt32(if(far, pair, 0)) AS far_pair
FROM counted
INNER JOIN features AS first ON first.id = toUInt16(bitShiftRight(pair, 16))
INNER JOIN features AS then ON then.id = toUInt16(bitAnd(pair, 65535))
ORDER BY count DESC, from, to
LIMIT {limit:UInt32}
