/* The epoch of `usage_epochs` that counts: one row, or none. */
CREATE OR REPLACE VIEW {database}.usage_epoch AS
SELECT runs, partitions, positions, log_time
FROM {database}.usage_epochs
WHERE notEmpty(runs) AND withdrawn = (SELECT count() FROM {database}.usage_epochs WHERE empty(runs))
ORDER BY arraySum(positions) DESC, epoch DESC
LIMIT 1
