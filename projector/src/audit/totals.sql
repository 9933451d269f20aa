-- Whether it all adds up: one row a partition, from the projections: a few rows a part are read. Where retention
-- is on, the ledger's rows from the horizon on are read, too: `due` is what the other tables must have.
-- A sum over offsets differs from what it should be if one is missing, or is there twice.
WITH
    (SELECT min(kept_from) FROM (SELECT max(horizons.kept_from) AS kept_from FROM {database}.horizons GROUP BY partition))
        AS first_kept
SELECT
    partition,
    sumIf(rows, target = 'ledger') AS ledger_rows,
    minIf(first, target = 'ledger') AS ledger_first,
    maxIf(last, target = 'ledger') AS ledger_last,
    sumIf(total, target = 'ledger') AS ledger_sum,
    sumIf(rows, target = 'ledger' AND verdict = 1) AS accepted,
    sumIf(rows, target = 'ledger' AND verdict = 2) AS rejected,
    sumIf(rows, target = 'ledger' AND verdict = 3) AS duplicates,
    sumIf(rows, target = 'ledger' AND verdict = 4) AS absent,
    sumIf(rows, target = 'ledger' AND verdict = 5) AS erased,
    sumIf(rows, target = 'ledger' AND verdict = 6) AS erasure_records,
    sumIf(rows, target = 'due' AND verdict = 1) = sumIf(rows, target = 'events')
        AND sumIf(total, target = 'due' AND verdict = 1) = sumIf(total, target = 'events') AS events_add_up,
    sumIf(rows, target = 'due' AND verdict = 2) = sumIf(rows, target = 'rejections')
        AND sumIf(total, target = 'due' AND verdict = 2) = sumIf(total, target = 'rejections') AS rejections_add_up,
    sumIf(rows, target = 'ledger' AND verdict = 6) = sumIf(rows, target = 'erasures')
        AND sumIf(total, target = 'ledger' AND verdict = 6) = sumIf(total, target = 'erasures') AS erasures_add_up
FROM
(
    SELECT 'ledger' AS target, partition, toInt8(verdict) AS verdict,
        count() AS rows, min(offset) AS first, max(offset) AS last, sum(offset) AS total
    FROM {database}.ledger GROUP BY partition, verdict
    UNION ALL
    SELECT 'due', partition, toInt8(verdict) AS verdict, count(), min(offset), max(offset), sum(offset)
    FROM {database}.ledger
    WHERE partition GLOBAL NOT IN (SELECT partition FROM {database}.horizons)
    GROUP BY partition, verdict
    UNION ALL
    SELECT 'due', partition, toInt8(verdict) AS verdict, count(), min(offset), max(offset), sum(offset)
    FROM {database}.ledger
    GLOBAL INNER JOIN
    (
        SELECT partition, max(horizons.kept_from) AS kept_from FROM {database}.horizons GROUP BY partition
    ) AS horizon USING (partition)
    WHERE partition GLOBAL IN (SELECT partition FROM {database}.horizons) AND offset >= first_kept AND offset >= kept_from
    GROUP BY partition, verdict
    UNION ALL
    SELECT 'events', partition, 1, count(), min(offset), max(offset), sum(offset)
    FROM {database}.events GROUP BY partition
    UNION ALL
    SELECT 'rejections', partition, 2, count(), min(offset), max(offset), sum(offset)
    FROM {database}.rejections GROUP BY partition
    UNION ALL
    SELECT 'erasures', partition, 6, count(), min(offset), max(offset), sum(offset)
    FROM {database}.erasures GROUP BY partition
)
GROUP BY partition
ORDER BY partition
