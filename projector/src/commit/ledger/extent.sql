-- Answered from the projection `positions`: a few rows a part; parts that have none yet are read.
SELECT
    sum(rows) AS rows, min(first) AS first, max(last) AS last, sum(total) AS sum,
    toUnixTimestamp64Milli(max(time)) AS log_time
FROM
(
    SELECT count() AS rows, min(offset) AS first, max(offset) AS last, sum(offset) AS total, max(log_time) AS time
    FROM {database}.ledger
    WHERE partition = {partition:UInt16}
    GROUP BY partition, verdict
)
