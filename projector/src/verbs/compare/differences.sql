-- The first offsets of a partition whose rows differ between two generations.
SELECT offset
FROM
(
    SELECT offset, cityHash64({columns}) AS hash, 1 AS sign FROM {one}.{table}
    WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
    UNION ALL
    SELECT offset, cityHash64({columns}), -1 FROM {other}.{table}
    WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
)
GROUP BY offset, hash
HAVING sum(sign) != 0
ORDER BY offset
LIMIT 5
