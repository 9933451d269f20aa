/* How much of each partition is in `events`, `ledger` and `rejections`, and how much is in `sequences`. */
CREATE OR REPLACE VIEW {views}.positions DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT partition, log.position AS position, sequences.position AS sequences_position, log.log_time AS log_time
FROM
(
    SELECT partition, max(offset) + 1 AS position, max(ledger.log_time) AS log_time
    FROM {database}.ledger
    GROUP BY partition
) AS log
LEFT JOIN
(
    SELECT partition, max(sequences_positions.position) AS position
    FROM {database}.sequences_positions
    GROUP BY partition
) AS sequences USING (partition)
