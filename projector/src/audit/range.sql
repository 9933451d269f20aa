-- Exact, for a range of one partition: how often each offset is in each table, against its verdict.
-- An offset without any row does not show up among them, so gaps are what is left of the range.
SELECT
    toUInt64({to:UInt64} - {from:UInt64} - countIf(ledger > 0)) AS gaps,
    toUInt64(sum(greatest(ledger, 1) - 1 + greatest(events, 1) - 1 + greatest(rejections, 1) - 1)) AS doubled,
    countIf(verdict = 1 AND events = 0) AS events_missing,
    countIf(verdict = 2 AND rejections = 0) AS rejections_missing,
    countIf(verdict != 1 AND events > 0) + countIf(verdict != 2 AND rejections > 0) AS surplus
FROM
(
    SELECT offset, sum(l) AS ledger, sum(e) AS events, sum(r) AS rejections, max(v) AS verdict
    FROM
    (
        SELECT offset, 1 AS l, 0 AS e, 0 AS r, toInt8(verdict) AS v FROM {database}.ledger
        WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
        UNION ALL
        SELECT offset, 0, 1, 0, 0 FROM {database}.events
        WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
        UNION ALL
        SELECT offset, 0, 0, 1, 0 FROM {database}.rejections
        WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
    )
    GROUP BY offset
)
