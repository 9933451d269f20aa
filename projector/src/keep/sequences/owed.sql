-- How many events `sequences` must hold at least: those below the positions that they claim.
SELECT count()
FROM {all}.events
GLOBAL INNER JOIN
(
    SELECT partition, max(sequences_positions.position) AS position
    FROM {all}.sequences_positions
    GROUP BY partition
) AS claimed USING (partition)
WHERE offset < position
