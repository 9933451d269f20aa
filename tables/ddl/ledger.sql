/*
The proof: one row for each offset of the log, whatever its verdict. `absent` is an offset without a record (a
transaction marker, an aborted record). `lost` is a record that the log lost before it was judged. `erasure` is a record that asks to erase a session, and `erased` is a record of
an erased session. The order key is the order of the log. So one reading finds gaps and overlaps, and the primary key
finds the last day of a partition, which is the window of event ids.

An `erased` row has no session and no time, but it keeps the event id. So a repeated event is still recognised, and the
query API can answer what became of an event. The window of event ids is read back from the ledger: from the accepted
rows, and from erased rows whose `first_offset` is their own offset. `first_offset` of an erased row is the first event
with its event id, or 2^64 - 1 if the record was rejected. `app` is empty for what is no event and repeats none.

`positions` shows how far the log is processed, and answers the cheap form of the audit, from a few rows in each part.
`by_event` finds the fate of one event.

Small inserts come all the time. So:
- Merges take about twelve parts at a time (`merge_selector_base`). They cost less beside inserts, but queries read
  some parts more.
- The first merge of a part builds the projections: they were half of the cost of a small insert. Until then the part
  is small, and queries read it without them. The projector finds parts that no merge reaches.
- Merges build no statistics of columns, because no statement is planned by them. No part looks for columns of mostly
  zeros, because these compress to almost nothing anyway.
*/
CREATE TABLE IF NOT EXISTS {database}.ledger
(
    partition UInt16,
    offset UInt64 CODEC(Delta, ZSTD),
    verdict Enum8('accepted' = 1, 'rejected' = 2, 'duplicate' = 3, 'absent' = 4, 'erased' = 5, 'erasure' = 6, 'lost' = 7),
    event_id UUID,
    session_id UUID,
    app LowCardinality(String),
    timestamp DateTime64(6, 'UTC'),
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    log_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    schema_version UInt16,
    first_offset UInt64,
    PROJECTION positions
    (
        SELECT partition, verdict, count(), min(offset), max(offset), sum(offset), max(log_time)
        GROUP BY partition, verdict
    ),
    PROJECTION by_event (SELECT event_id, partition, offset ORDER BY event_id)
)
ENGINE = MergeTree
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 10000, merge_selector_base = 12, auto_statistics_types = '',
    ratio_of_defaults_for_sparse_serialization = 1, materialize_projections_on_insert = 0,
    materialize_projections_on_merge = 1;

/* Bit 1 of `targets`: the verdict of every offset. */
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.landing_to_ledger TO {database}.ledger AS
SELECT partition, offset, verdict, event_id, session_id, if(verdict = 'rejected', '', app) AS app, timestamp,
    received_at, log_time, schema_version, first_offset
FROM {database}.landing
WHERE bitTest(targets, 0)
