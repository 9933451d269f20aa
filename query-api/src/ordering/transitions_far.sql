-- The medians of some transitions, however long they are.
{% include "selected.sql" %}
    , pairs AS
    (
        SELECT
            arrayMap((a, b) -> toUInt32(bitShiftLeft(toUInt32(a), 16) + b), arrayPopBack(ids), arrayPopFront(ids))
                AS all_pairs,
            arrayFilter(pair -> has({pairs:Array(UInt32)}, pair), all_pairs) AS pairs,
            arrayFilter((gap, pair) -> has({pairs:Array(UInt32)}, pair),
                arrayMap((a, b) -> toUnixTimestamp64Micro(b) - toUnixTimestamp64Micro(a),
                    arrayPopBack(at), arrayPopFront(at)),
                all_pairs) AS gaps
        FROM selected
    )
SELECT toUInt32(pair) AS far_pair, quantileExactInclusive(0.5)(gap) / 1000 AS median_gap_ms
FROM pairs
ARRAY JOIN pairs AS pair, gaps AS gap
GROUP BY pair
