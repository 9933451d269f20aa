-- Changes with every row that arrives out of turn (a healed one), changes or goes (an erased one). Mutations count by
-- their names, as several may be made in one second; finished ones are forgotten one day, which costs an answer.
-- Those that build projections change no row.
SELECT sum(rows) AS rows, sum(changed) AS changed
FROM
(
    SELECT count() AS rows, toUInt64(0) AS changed FROM ledger
    UNION ALL SELECT count(), 0 FROM events
    UNION ALL SELECT count(), 0 FROM rejections
    UNION ALL SELECT 0, sum(cityHash64(table, mutation_id)) FROM system.mutations WHERE database = currentDatabase() AND is_done
        AND NOT startsWith(command, '(MATERIALIZE PROJECTION')
)
