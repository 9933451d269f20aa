/* The records that could not become events, with every reason. */
CREATE OR REPLACE VIEW {views}.rejections DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT partition, offset, event_id, session_id, session_text, app, category, name, received_at, log_time, schema_version,
    reasons, reasons_total, raw, traceparent
FROM {database}.rejections
