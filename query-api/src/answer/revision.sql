-- Changes with every row that arrives out of turn (a healed one) or goes (an erased one).
SELECT rows, deleted
FROM
(
    SELECT sum(rows) AS rows
    FROM system.parts
    WHERE database = currentDatabase() AND active AND table IN ('ledger', 'events', 'rejections')
) AS parts
CROSS JOIN
(
    SELECT toUInt32(max(create_time)) AS deleted
    FROM system.mutations
    WHERE database = currentDatabase() AND is_done
) AS mutations
