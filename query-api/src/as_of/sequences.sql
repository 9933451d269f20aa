SELECT
    partition,
    max(sequences_positions.position) AS position,
    max(sequences_positions.log_time) AS log_time,
    assumeNotNull((SELECT count() FROM features)) AS features
FROM sequences_positions
GROUP BY partition
ORDER BY partition
