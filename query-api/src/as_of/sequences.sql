SELECT partition, max(sequences_positions.position) AS position, max(sequences_positions.log_time) AS log_time
FROM sequences_positions
GROUP BY partition
ORDER BY partition
