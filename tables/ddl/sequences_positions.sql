/*
How much of the log `sequences` includes: every accepted event of `partition` below `position` is in.
Written after the rows it speaks of; the furthest position wins, as each row is true for ever.
*/
CREATE TABLE IF NOT EXISTS {database}.sequences_positions
(
    partition UInt16,
    position UInt64,
    log_time DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(position)
ORDER BY partition
