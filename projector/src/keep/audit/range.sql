-- The exact check of a range of a partition: how often each offset is in each table, compared with its verdict. An
-- offset without any row is in no group, so the gaps are the range's offsets less those of the ledger.
WITH (SELECT max(kept_from) FROM {database}.horizons WHERE partition = {partition:UInt16}) AS kept_from
SELECT
    toUInt64({to:UInt64} - {from:UInt64} - countIf(ledger > 0)) AS gaps,
    toUInt64(sum(greatest(ledger, 1) - 1 + greatest(events, 1) - 1 + greatest(rejections, 1) - 1
        + greatest(erasures, 1) - 1)) AS doubled,
    countIf(verdict = 'accepted' AND offset >= kept_from AND events = 0) AS events_missing,
    countIf(verdict = 'rejected' AND offset >= kept_from AND rejections = 0) AS rejections_missing,
    countIf(verdict = 'erasure' AND erasures = 0) AS erasures_missing,
    countIf((verdict != 'accepted' OR offset < kept_from) AND events > 0)
        + countIf((verdict != 'rejected' OR offset < kept_from) AND rejections > 0)
        + countIf(verdict != 'erasure' AND erasures > 0) AS surplus,
    countIf(of_erased > 0) AS not_erased
FROM
(
    SELECT offset, sum(l) AS ledger, sum(e) AS events, sum(r) AS rejections, sum(x) AS erasures, max(v) AS verdict,
        max(s) AS of_erased
    FROM
    (
        SELECT offset, 1 AS l, 0 AS e, 0 AS r, 0 AS x, toString(verdict) AS v,
            -- While no session is erased, no session is hashed.
            (SELECT count() FROM {database}.erasures) > 0
                AND SHA256(toString(session_id)) GLOBAL IN (SELECT session FROM {database}.erasures) AS s
        FROM {database}.ledger
        WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
        UNION ALL
        SELECT offset, 0, 1, 0, 0, '', 0 FROM {database}.events
        WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
        UNION ALL
        SELECT offset, 0, 0, 1, 0, '',
            notEmpty(session_text) AND SHA256(session_text) GLOBAL IN (SELECT session FROM {database}.erasures)
        FROM {database}.rejections
        WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
        UNION ALL
        SELECT offset, 0, 0, 0, 1, '', 0 FROM {database}.erasures
        WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} AND offset < {to:UInt64}
    )
    GROUP BY offset
)
