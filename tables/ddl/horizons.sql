/*
How much of the log the tables keep, where retention is on: below `kept_from` neither `events` nor `rejections`
has rows of the partition; the ledger has all. Declared before anything is deleted, so that neither the audit
misses it nor healing brings it back; below `expired_to` all is deleted, also from `sequences`. Both only
ever grow, a row each time, and the largest counts.
*/
CREATE TABLE IF NOT EXISTS {database}.horizons
(
    partition UInt16,
    kept_from UInt64,
    expired_to UInt64
)
ENGINE = MergeTree
ORDER BY (partition, kept_from, expired_to)
