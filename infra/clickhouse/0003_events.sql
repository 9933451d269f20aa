/*
The accepted events. A row is one event; the order key IS the order of a session: time, then log
position for equal times. Read by a session's timeline, by everything that counts use, and by the
builder of `sequences`. The projection keeps the places in the log in the log's order: verifying a chunk
and the audit ask which offsets are here, and would have to read the whole table otherwise. `by_time` finds the
keys of a page of the list of events; the page is then read by primary key, a granule an event, which is why
granules are small. Delete by ALTER TABLE ... DELETE, which rewrites the projection;
the lightweight DELETE is refused (and were it allowed, reads by the projection would still see the rows).
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
    PROJECTION by_time
    (
        SELECT timestamp, partition, offset, session_id, app, category, name
        ORDER BY timestamp, partition, offset
    )
)
ENGINE = MergeTree
ORDER BY (session_id, timestamp, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024
