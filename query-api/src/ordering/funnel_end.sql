    , walked AS
    (
        -- Who reaches a step has reached all before it: what is left after filtering keeps its place.
        SELECT arrayFilter(result -> result.1 > 0, reached_$before) AS reached FROM walked_$before
    )
SELECT
    toUInt32(step) AS step,
    count() AS sessions,
    quantileExactInclusive(0.5)(result.2) / 1000 AS median_time_ms,
    quantileExactInclusive(0.5)(result.3) / 1000 AS median_shortest_ms
FROM walked
ARRAY JOIN reached AS result, arrayEnumerate(reached) AS step
GROUP BY step
ORDER BY step
-- A few arrays a step: few sessions at a time.
SETTINGS max_block_size = 4096
