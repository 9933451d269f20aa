-- The ledger's projection `positions` answers this: it has a few rows a part.
SELECT
    partition,
    toString(verdict) AS verdict,
    count() AS records,
    min(offset) AS first,
    max(offset) AS last,
    sum(offset) AS sum
FROM ledger
{% if below %}
WHERE partition = {partition:UInt16} AND offset < {end:UInt64}
{% endif %}
GROUP BY partition, ledger.verdict
ORDER BY partition, ledger.verdict
