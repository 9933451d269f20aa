-- Changes with every row that arrives out of turn (a healed one) or goes (an erased one).
SELECT
    (SELECT sum(rows) FROM system.parts
     WHERE database = currentDatabase() AND active AND table IN ('ledger', 'events', 'rejections')) AS rows,
    (SELECT toUnixTimestamp(max(create_time)) FROM system.mutations
     WHERE database = currentDatabase() AND is_done) AS deleted
