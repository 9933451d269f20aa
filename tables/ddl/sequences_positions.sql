/*
How much of the log `sequences` includes: every accepted event of `partition` below `position`. A writer writes the row
after the rows of `sequences` that it describes. The furthest position counts, because each row is true for ever.
*/
CREATE TABLE IF NOT EXISTS {database}.sequences_positions
(
    partition UInt16,
    position UInt64,
    log_time DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(position)
ORDER BY partition
