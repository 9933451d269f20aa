-- The offset below which all rows of a partition are, in all tables.
SELECT max(end)
FROM
(
    SELECT max(offset) + 1 AS end FROM ledger WHERE partition = {partition:UInt16}
    UNION ALL SELECT max(offset) + 1 FROM events WHERE partition = {partition:UInt16}
    UNION ALL SELECT max(offset) + 1 FROM rejections WHERE partition = {partition:UInt16}
    UNION ALL SELECT max(offset) + 1 FROM erasures WHERE partition = {partition:UInt16}
)
