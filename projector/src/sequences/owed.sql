-- How many events `sequences` must hold at least: those below the positions it claims.
SELECT count()
FROM events
INNER JOIN
(
    SELECT partition, max(sequences_positions.position) AS position
    FROM sequences_positions
    GROUP BY partition
) AS claimed USING (partition)
WHERE offset < position
