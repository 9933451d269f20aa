/* The verdict on every offset of the log. */
CREATE OR REPLACE VIEW {views}.ledger DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT partition, offset, verdict, event_id, session_id, app, timestamp, received_at, log_time,
    schema_version, first_offset
FROM {database}.ledger
