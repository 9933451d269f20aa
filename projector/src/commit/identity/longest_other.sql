-- Answered from the projection `positions`.
SELECT partition, max(last) AS last
FROM
(
    SELECT partition, max(offset) AS last
    FROM {database}.ledger
    WHERE partition != {partition:UInt16}
    GROUP BY partition, verdict
)
GROUP BY partition
ORDER BY last DESC, partition
LIMIT 1
