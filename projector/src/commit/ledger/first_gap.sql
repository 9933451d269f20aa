-- The first offset from `from` on that the ledger lacks. Exact: reads all the offsets in order.
SELECT if(count() = 0 OR min(offset) != {from:UInt64}, {from:UInt64}, minIf(offset + 1, next != offset + 1))
FROM
(
    SELECT offset, leadInFrame(offset, 1, 0) OVER (ORDER BY offset ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next
    FROM (SELECT DISTINCT offset FROM {database}.ledger WHERE partition = {partition:UInt16} AND offset >= {from:UInt64})
)
