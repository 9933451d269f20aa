SELECT partition, max(offset) + 1 AS position, max(log_time) AS log_time
FROM ledger
GROUP BY partition
ORDER BY partition
