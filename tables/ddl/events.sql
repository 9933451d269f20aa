/*
The accepted events. A row is one event. The order key IS the order of a session: time, then log position for equal
times. Read by a session's timeline, by everything that counts use, and by the builder of `sequences`.

`by_log` keeps the places in the log in the log's order: verifying a chunk and the audit ask which offsets are here, and
would have to read the whole table otherwise. `listed` finds the rows of a page of the list of events, also of a feature
that is rarely used: features are few beside events, so a range of time is found in it, too, as a stretch of each
feature. It says where each row is in its part, and the page is read from there.

Pages read single events: granules are small, and compressed blocks as small as those. That takes a third off a page's
time and off a timeline's, for a twentieth more space; a reading of everything takes a tenth longer.

Projections are built by merges, and no statistics, as in `ledger`. Parts are merged as often as ClickHouse does by
itself: a page of the list of events reads from every part.

Delete by ALTER TABLE ... DELETE, which rewrites the projections. The lightweight DELETE is refused (and were it allowed,
reads by a projection would still see the rows).
*/
CREATE TABLE IF NOT EXISTS {database}.events
(
    session_id UUID,
    timestamp DateTime64(6, 'UTC'),
    partition UInt16,
    offset UInt64,
    event_id UUID,
    app LowCardinality(String),
    category LowCardinality(String),
    name LowCardinality(String),
    data String,
    sent_at Nullable(DateTime64(6, 'UTC')),
    received_at DateTime64(6, 'UTC'),
    schema_version UInt16,
    traceparent String,
    PROJECTION by_log (SELECT partition, offset ORDER BY partition, offset),
    PROJECTION listed
    (
        SELECT category, name, timestamp, partition, offset, session_id, app, _part_offset
        ORDER BY category, name, timestamp, partition, offset
    )
)
ENGINE = MergeTree
ORDER BY (session_id, timestamp, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024, min_compress_block_size = 16384,
    max_compress_block_size = 65536, auto_statistics_types = '', ratio_of_defaults_for_sparse_serialization = 1,
    materialize_projections_on_insert = 0, materialize_projections_on_merge = 1;

/* Bit 2 of `targets`: the accepted events. */
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.landing_to_events TO {database}.events AS
SELECT session_id, timestamp, partition, offset, event_id, app, category, name, data, sent_at, received_at,
    schema_version, traceparent
FROM {database}.landing
WHERE bitTest(targets, 1)
