-- What the row tables include, partition by partition, and two numbers of the tables that tell whether an answer may
-- have changed though the log did not (they stand beside partition 0).
--
-- `changed` changes when days of use or sequences are repaired: the days are withdrawn then, and the sequences lose
-- their positions by a mutation. `rows` changes with every row that arrives out of turn (a healed one) or goes (an
-- erased one). Mutations count by their names, because several may be made in one second. ClickHouse forgets finished
-- mutations one day, which costs one answer. Mutations that build projections change no row, and those that drop old
-- epochs change no answer.
SELECT
    partition,
    max(tables.position) AS position,
    max(tables.log_time) AS log_time,
    sum(tables.rows) AS rows,
    sum(tables.changed) AS changed
FROM
(
    SELECT
        partition,
        max(offset) + 1 AS position,
        max(log_time) AS log_time,
        count() AS rows,
        toUInt64(0) AS changed
    FROM ledger
    GROUP BY partition
    UNION ALL SELECT 0, 0, toDateTime64(0, 3, 'UTC'), count(), 0 FROM events
    UNION ALL SELECT 0, 0, toDateTime64(0, 3, 'UTC'), count(), 0 FROM rejections
    UNION ALL SELECT 0, 0, toDateTime64(0, 3, 'UTC'), 0, count() FROM usage_epochs WHERE empty(runs)
    UNION ALL SELECT 0, 0, toDateTime64(0, 3, 'UTC'), 0, sum(cityHash64(table, mutation_id))
    FROM {{ "mutations" if spread else "system.mutations" }}
    WHERE database IN (currentDatabase(), concat(currentDatabase(), '_local')) AND is_done
        AND table != 'usage_epochs' AND NOT startsWith(command, '(MATERIALIZE PROJECTION')
) AS tables
GROUP BY partition
ORDER BY partition
