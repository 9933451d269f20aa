-- The epoch that counts, if there is one.
SELECT runs, partitions, positions
FROM usage_epochs
WHERE notEmpty(runs) AND withdrawn = (SELECT count() FROM usage_epochs WHERE empty(runs))
ORDER BY arraySum(positions) DESC, epoch DESC
LIMIT 1
