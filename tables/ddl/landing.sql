/*
What the projector inserts: one row for each offset of the log, in log order. The engine Null stores nothing. The
materialized views `landing_to_*` copy each row to the tables whose bit is set in `targets`: 1 = ledger, 2 = events, 4
= rejections, 8 = erasures.

An ordinary insert sets every bit that its verdict needs. Healing sets only the bits of the tables that lost the row,
so both take the same path. The row of an erasure carries the session's hash in `raw`.

The columns have the types of the tables that the views fill: conversions took a tenth of a small insert.
*/
CREATE TABLE IF NOT EXISTS {database}.landing
(
    targets UInt8,
    partition UInt16,
    offset UInt64,
    verdict Enum8('accepted' = 1, 'rejected' = 2, 'duplicate' = 3, 'absent' = 4, 'erased' = 5, 'erasure' = 6, 'lost' = 7),
    event_id UUID,
    session_id UUID,
    session_text String,
    app LowCardinality(String),
    category LowCardinality(String),
    name LowCardinality(String),
    data String,
    timestamp DateTime64(6, 'UTC'),
    sent_at Nullable(DateTime64(6, 'UTC')),
    received_at DateTime64(6, 'UTC'),
    log_time DateTime64(3, 'UTC'),
    schema_version UInt16,
    first_offset UInt64,
    reasons Array(Tuple(code LowCardinality(String), pointer String, keyword LowCardinality(String), message String)),
    reasons_total UInt16,
    raw String,
    traceparent String
)
ENGINE = Null
