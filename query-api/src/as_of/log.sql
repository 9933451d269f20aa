SELECT partition, toInt8(ledger.verdict) AS number, max(offset) AS last, max(log_time) AS log_time
FROM ledger
GROUP BY partition, ledger.verdict
