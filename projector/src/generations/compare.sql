-- A fingerprint of one table of one partition below an offset: equal rows, in any order, give equal sums.
SELECT count() AS rows, sum(cityHash64({columns})) AS hash
FROM {database}.{table}
WHERE partition = {partition:UInt16} AND offset < {to:UInt64}
