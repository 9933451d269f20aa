/*
The proof: one row for each offset of the log, whatever became of it. `absent` is an offset without a
record (a transaction marker, an aborted record). Ordered as the log is, so that gaps and overlaps are
found by reading it once, and one partition's last day (the window of event ids) by its primary key.
The projection answers "how far are we" and the cheap form of the audit from a few rows a part; `by_event` finds
the fate of one event.
*/
CREATE TABLE IF NOT EXISTS {database}.ledger
(
    partition UInt16,
    offset UInt64 CODEC(Delta, ZSTD),
    verdict Enum8('accepted' = 1, 'rejected' = 2, 'duplicate' = 3, 'absent' = 4),
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
SETTINGS non_replicated_deduplication_window = 10000
