-- The partitions whose log is another one than the tables were made from, as the projectors have found.
SELECT partition, argMax(why, at) AS why
FROM log_breaks
GROUP BY partition
HAVING argMax(state, at) = 'refused'
