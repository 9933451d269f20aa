/* The epoch of `usage_epochs` that counts: one row, or none. It reads the table once, as each question asks it. */
CREATE OR REPLACE VIEW {database}.usage_epoch AS
SELECT runs, partitions, positions, log_time
FROM (SELECT *, countIf(empty(runs)) OVER () AS withdrawals FROM {database}.usage_epochs)
WHERE notEmpty(runs) AND withdrawn = withdrawals
ORDER BY arraySum(positions) DESC, epoch DESC
LIMIT 1
