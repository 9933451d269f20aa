-- From the ledger's projection: a few rows a part.
SELECT
    partition,
    toString(verdict) AS verdict,
    count() AS records,
    min(offset) AS first,
    max(offset) AS last,
    sum(offset) AS sum
FROM ledger
GROUP BY partition, ledger.verdict
ORDER BY partition, ledger.verdict
