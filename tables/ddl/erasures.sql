/*
The requests to erase a session. A row is one request, with its place in the log. `session` is SHA256 of the session id
as text. It is not the id itself, because an erased session must be nowhere in ClickHouse: the hash recognises a
session, but does not reveal it. The table is small. A projector reads all of it at the start, and the audit searches
it.
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
