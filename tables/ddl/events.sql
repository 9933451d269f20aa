/*
The accepted events. A row is one event. The order key is the order of a session: time, then log position for equal
times. Timelines, all counts of use, and the builder of `sequences` read this table.

`by_log` has the places in the log, in the log's order. The verification of a chunk and the audit ask which offsets are
in the table; without `by_log` they would read the whole table.

`listed` finds the rows for a page of the list of events, also of a rarely used feature. There are few features, so it
also finds a range of time: as one stretch for each feature. It has the place of each row in its part, and the page
reads the row from there.

Pages read single events, so granules and compressed blocks are small. This takes a third off the time of a page and of
a timeline. The table takes a twentieth more space, and a reading of everything takes a tenth longer.

Merges build the projections, and no statistics, as in `ledger`. ClickHouse's own frequency of merges stays: a page of
the list of events reads from every part.

Delete by ALTER TABLE ... DELETE, which rewrites the projections. ClickHouse refuses the lightweight DELETE. Even if it
were allowed, reads by a projection would still see the rows.
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
