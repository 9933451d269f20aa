-- A fingerprint of a table's rows in a range of a partition: equal rows in any order give equal sums.
SELECT count() AS rows, sum(cityHash64({columns})) AS hash
FROM {database}.{table}
WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
