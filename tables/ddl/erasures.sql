/*
The requests to erase a session: their places in the log. `session` is SHA256 of the session id as text, and not
the id itself, as an erased session is to be nowhere in ClickHouse: enough to recognise it, not to find
it out. Small, read as a whole when a projector starts, and looked through by the audit.
*/
CREATE TABLE IF NOT EXISTS {database}.erasures
(
    partition UInt16,
    offset UInt64,
    session FixedString(32),
    log_time DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (partition, offset)
SETTINGS non_replicated_deduplication_window = 10000;

/* Bit 8 of `targets`: the requests to erase. */
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.landing_to_erasures TO {database}.erasures AS
SELECT partition, offset, toFixedString(raw, 32) AS session, log_time
FROM {database}.landing
WHERE bitTest(targets, 3)
