/*
How much of the log the tables keep with retention. A row is a step of one partition. Below `kept_from` neither
`events` nor `rejections` has rows of the partition; `ledger` has all of them. Below `expired_to` everything is
deleted, also from `sequences`.

A projector writes `kept_from` before it deletes anything. So the audit does not miss the rows, and healing does not
bring them back. Both numbers only grow, and the largest ones count.
*/
CREATE TABLE IF NOT EXISTS {database}.horizons
(
    partition UInt16,
    kept_from UInt64,
    expired_to UInt64
)
ENGINE = MergeTree
ORDER BY (partition, kept_from, expired_to)
