-- Changes with every row that arrives out of turn (a healed one), changes or goes (an erased one). Mutations count by
-- their names, as several may be made in one second; finished ones are forgotten one day, which costs an answer.
SELECT rows, changed
FROM
(
    SELECT sum(rows) AS rows
    FROM system.parts
    WHERE database = currentDatabase() AND active AND table IN ('ledger', 'events', 'rejections')
) AS parts
CROSS JOIN
(
    SELECT sum(cityHash64(table, mutation_id)) AS changed
    FROM system.mutations
    WHERE database = currentDatabase() AND is_done
) AS mutations
