-- Whether a partition adds up: one row a partition, read from the projections, which have a few rows a part. With
-- retention, the ledger's rows above the horizon are read, too: `due` is what the other tables must have. A sum of
-- offsets is wrong if an offset is missing or doubled. `..._off` is how far a table is off: rows, sum of offsets. Rows
-- that add up change neither.
WITH
    (SELECT min(kept_from) FROM (SELECT max(horizons.kept_from) AS kept_from FROM {database}.horizons GROUP BY partition))
        AS first_kept
SELECT
    partition,
    sumIf(rows, target = 'ledger') AS ledger_rows,
    minIf(first, target = 'ledger') AS ledger_first,
    maxIf(last, target = 'ledger') AS ledger_last,
    sumIf(total, target = 'ledger') AS ledger_sum,
    sumIf(rows, target = 'ledger' AND verdict = 'accepted') AS accepted,
    sumIf(rows, target = 'ledger' AND verdict = 'rejected') AS rejected,
    sumIf(rows, target = 'ledger' AND verdict = 'duplicate') AS duplicates,
    sumIf(rows, target = 'ledger' AND verdict = 'absent') AS absent,
    sumIf(rows, target = 'ledger' AND verdict = 'lost') AS lost,
    sumIf(rows, target = 'ledger' AND verdict = 'erased') AS erased,
    sumIf(rows, target = 'ledger' AND verdict = 'erasure') AS erasure_records,
    (sumIf(rows, target = 'due' AND verdict = 'accepted') - sumIf(rows, target = 'events'),
        sumIf(total, target = 'due' AND verdict = 'accepted') - sumIf(total, target = 'events')) AS events_off,
    (sumIf(rows, target = 'due' AND verdict = 'rejected') - sumIf(rows, target = 'rejections'),
        sumIf(total, target = 'due' AND verdict = 'rejected') - sumIf(total, target = 'rejections')) AS rejections_off,
    (sumIf(rows, target = 'ledger' AND verdict = 'erasure') - sumIf(rows, target = 'erasures'),
        sumIf(total, target = 'ledger' AND verdict = 'erasure') - sumIf(total, target = 'erasures')) AS erasures_off
FROM
(
    SELECT 'ledger' AS target, partition, toString(verdict) AS verdict,
        count() AS rows, min(offset) AS first, max(offset) AS last, sum(offset) AS total
    FROM {database}.ledger GROUP BY partition, verdict
    UNION ALL
    SELECT 'due', partition, toString(verdict) AS verdict, count(), min(offset), max(offset), sum(offset)
    FROM {database}.ledger
    WHERE partition GLOBAL NOT IN (SELECT partition FROM {database}.horizons)
    GROUP BY partition, verdict
    UNION ALL
    SELECT 'due', partition, toString(verdict) AS verdict, count(), min(offset), max(offset), sum(offset)
    FROM {database}.ledger
    GLOBAL INNER JOIN
    (
        SELECT partition, max(horizons.kept_from) AS kept_from FROM {database}.horizons GROUP BY partition
    ) AS horizon USING (partition)
    WHERE partition GLOBAL IN (SELECT partition FROM {database}.horizons) AND offset >= first_kept AND offset >= kept_from
    GROUP BY partition, verdict
    UNION ALL
    SELECT 'events', partition, 'accepted', count(), min(offset), max(offset), sum(offset)
    FROM {database}.events GROUP BY partition
    UNION ALL
    SELECT 'rejections', partition, 'rejected', count(), min(offset), max(offset), sum(offset)
    FROM {database}.rejections GROUP BY partition
    UNION ALL
    SELECT 'erasures', partition, 'erasure', count(), min(offset), max(offset), sum(offset)
    FROM {database}.erasures GROUP BY partition
)
GROUP BY partition
ORDER BY partition
