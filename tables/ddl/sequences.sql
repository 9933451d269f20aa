/*
What the questions of order read: one row for each session, with parallel arrays in the session's order (time, then log
position for equal times). A row depends only on the session's rows in `events`, and is always computed as a whole.
`events` is the version: the events of a session only become more. So of two computations the longer one has seen more,
whoever made it and whenever it arrives. Read the table with FINAL.

The codec is T64 alone, because 64 times share their high bits. Times take half the time to read that they take with
LZ4, and a fifth more space. Feature numbers take two thirds of the time, and less space. Unpacking was a quarter of
the cost of a question of order.

A merge starts once the other parts have half the rows of the largest part (`merge_selector_base`), not four times as
many: a question of order looks for the newest row of each session, which is fast within one part. A merge of a hundred
million events takes 4 s.
*/
CREATE TABLE IF NOT EXISTS {database}.sequences
(
    session_id UUID,
    events UInt64,
    features Array(UInt16) CODEC(T64),
    times Array(DateTime64(6, 'UTC')) CODEC(T64),
    apps Array(LowCardinality(String))
)
ENGINE = ReplacingMergeTree(events)
ORDER BY session_id
SETTINGS merge_selector_base = 1.5
