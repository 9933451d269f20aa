/* Bit 1 of `targets`: the verdict of every offset. */
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.landing_to_ledger TO {database}.ledger AS
SELECT partition, offset, verdict, event_id, session_id, timestamp, received_at, log_time, schema_version, first_offset
FROM {database}.landing
WHERE bitTest(targets, 0)
