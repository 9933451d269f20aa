/*
The proof: one row for each offset of the log, whatever became of it. `absent` is an offset without a record (a
transaction marker, an aborted record), `erasure` a record that asks to erase a session, `erased` one of a session that
is erased. Ordered as the log is: gaps and overlaps are found by reading it once, and one partition's last day (the
window of event ids) by its primary key.

An `erased` row has neither session nor time, only its event id: so a repeated event is still found, and whoever asks
for an event learns what became of it. Its `first_offset` is the first record with its event id, its own if it is the
first, so that the window of event ids stays exact.

`positions` answers "how far are we" and the cheap form of the audit from a few rows a part. `by_event` finds the fate of
one event.

Small inserts come all the time. So:
- Parts are merged twelve or so at a time (`merge_selector_base`), which costs less beside inserts, for some parts more to
  read.
- Projections are built when parts are merged for the first time: they were half of what a small insert costs. Until then
  a part is small and read as it is. The projector looks for parts that no merge reaches.
- Merges build no statistics of columns, by which no statement is planned, and no part looks for columns of mostly zeros,
  which compress to nothing anyway.
*/
CREATE TABLE IF NOT EXISTS {database}.ledger
(
    partition UInt16,
    offset UInt64 CODEC(Delta, ZSTD),
    verdict Enum8('accepted' = 1, 'rejected' = 2, 'duplicate' = 3, 'absent' = 4, 'erased' = 5, 'erasure' = 6),
    event_id UUID,
    session_id UUID,
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
SELECT partition, offset, verdict, event_id, session_id, timestamp, received_at, log_time, schema_version, first_offset
FROM {database}.landing
WHERE bitTest(targets, 0)
