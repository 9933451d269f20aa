-- This changes with every row that arrives out of turn (a healed one), changes, or goes (an erased one). It also
-- changes when days of use or sequences are repaired: the days are withdrawn then, and the sequences lose their
-- positions by a mutation. Mutations count by their names, because several may be made in one second. ClickHouse
-- forgets finished mutations one day, which costs one answer. Mutations that build projections change no row, and those
-- that drop old epochs change no answer.
SELECT sum(rows) AS rows, sum(changed) AS changed
FROM
(
    SELECT count() AS rows, toUInt64(0) AS changed FROM ledger
    UNION ALL SELECT count(), 0 FROM events
    UNION ALL SELECT count(), 0 FROM rejections
    UNION ALL SELECT 0, count() FROM usage_epochs WHERE empty(runs)
    UNION ALL SELECT 0, sum(cityHash64(table, mutation_id))
    FROM {{ "mutations" if spread else "system.mutations" }}
    WHERE database IN (currentDatabase(), concat(currentDatabase(), '_local')) AND is_done
        AND table != 'usage_epochs' AND NOT startsWith(command, '(MATERIALIZE PROJECTION')
)
