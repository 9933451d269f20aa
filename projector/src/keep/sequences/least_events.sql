-- The fewest events that the table `sequences` must hold: all events below the positions in `sequences_positions`.
SELECT count()
FROM {all}.events
GLOBAL INNER JOIN
(
    SELECT partition, max(sequences_positions.position) AS position
    FROM {all}.sequences_positions
    GROUP BY partition
) AS claimed USING (partition)
WHERE offset < position
