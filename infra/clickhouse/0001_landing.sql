/*
What the projector inserts: one row a log offset, in log order. Null keeps nothing; the materialized
views of 0005 to 0007 copy each row to the tables whose bit is set in `targets`:
1 = ledger, 2 = events, 4 = rejections. An ordinary insert sets every bit that its verdict calls for;
healing sets only the bits of the tables that lost the row, so both take the same path.
*/
CREATE TABLE IF NOT EXISTS {database}.landing
(
    targets UInt8,
    partition UInt16,
    offset UInt64,
    verdict Enum8('accepted' = 1, 'rejected' = 2, 'duplicate' = 3, 'absent' = 4),
    event_id UUID,
    session_id UUID,
    app String,
    category String,
    name String,
    data String,
    timestamp DateTime64(6, 'UTC'),
    sent_at Nullable(DateTime64(6, 'UTC')),
    received_at DateTime64(6, 'UTC'),
    log_time DateTime64(3, 'UTC'),
    schema_version UInt16,
    first_offset UInt64,
    reasons Array(Tuple(code String, pointer String, keyword String, message String)),
    reasons_total UInt16,
    raw String,
    traceparent String
)
ENGINE = Null
