/* The requests to erase a session: the place in the log, and the session's SHA256. */
CREATE OR REPLACE VIEW {views}.erasures DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT partition, offset, session, log_time
FROM {database}.erasures
