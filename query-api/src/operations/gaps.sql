-- The ranges [start, end) of a partition's offsets that have no row in the ledger.
SELECT previous + 1 AS start, offset AS end
FROM
(
    SELECT
        offset,
        lagInFrame(offset, 1, offset) OVER (ORDER BY offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS previous
    FROM ledger
    WHERE partition = {partition:UInt16} AND offset < {end:UInt64}
)
WHERE offset > previous + 1
ORDER BY start
LIMIT 100
