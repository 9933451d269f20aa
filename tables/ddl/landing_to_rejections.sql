/* Bit 4 of `targets`: the rejected records. */
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.landing_to_rejections TO {database}.rejections AS
SELECT partition, offset, event_id, session_id, app, category, name, received_at, log_time, schema_version,
    reasons, reasons_total, raw, traceparent
FROM {database}.landing
WHERE bitTest(targets, 2)
