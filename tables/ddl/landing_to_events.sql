/* Bit 2 of `targets`: the accepted events. */
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.landing_to_events TO {database}.events AS
SELECT session_id, timestamp, partition, offset, event_id, app, category, name, data, sent_at, received_at,
    schema_version, traceparent
FROM {database}.landing
WHERE bitTest(targets, 1)
