/* The accepted events, one row for each. The order within a session is (timestamp, partition, offset). */
CREATE OR REPLACE VIEW {views}.events DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT session_id, timestamp, partition, offset, event_id, app, category, name, data, sent_at, received_at,
    schema_version, traceparent
FROM {database}.events
