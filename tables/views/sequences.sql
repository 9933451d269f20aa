/* One row for each session, with its events in order, as parallel arrays. */
CREATE OR REPLACE VIEW {views}.sequences DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT session_id, events, features, times, apps
FROM {database}.sequences FINAL
