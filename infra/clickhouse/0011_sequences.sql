/*
What the questions of order read: one row a session, parallel arrays in the session's order (time,
then log position for ties). A pure function of the session's rows in `events`, always recomputed as a
whole. `events` is the version: a session's events only ever become more, so of two computations the
longer one has seen more, whoever made it and whenever it arrives. Read it with FINAL.
*/
CREATE TABLE IF NOT EXISTS {database}.sequences
(
    session_id UUID,
    events UInt64,
    features Array(UInt16),
    times Array(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    apps Array(LowCardinality(String))
)
ENGINE = ReplacingMergeTree(events)
ORDER BY session_id
