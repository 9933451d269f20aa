/*
The records that could not become events. A row has the raw bytes (any bytes), the reasons (16 at most; `reasons_total`
is their full number), the place in the log and the application. `category` and `name` are the sender's text if they
can be read. They may be any text, so they are not LowCardinality. `session_text` is a session id that is no UUID: it
can be erased by its text.
*/
CREATE TABLE IF NOT EXISTS {database}.rejections
(
    partition UInt16,
    offset UInt64,
    event_id UUID,
    session_id UUID,
    session_text String,
    app LowCardinality(String),
    category String,
    name String,
    received_at DateTime64(6, 'UTC'),
    log_time DateTime64(3, 'UTC'),
    schema_version UInt16,
    reasons Array(Tuple(code LowCardinality(String), pointer String, keyword LowCardinality(String), message String)),
    reasons_total UInt16,
    raw String,
    traceparent String
)
ENGINE = MergeTree
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 10000;

/* Bit 4 of `targets`: the rejected records. */
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.landing_to_rejections TO {database}.rejections AS
SELECT partition, offset, event_id, session_id, session_text, app, category, name, received_at, log_time, schema_version,
    reasons, reasons_total, raw, traceparent
FROM {database}.landing
WHERE bitTest(targets, 2)
