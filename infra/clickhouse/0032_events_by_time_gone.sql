/* `by_feature` does its work. */
ALTER TABLE {database}.events DROP PROJECTION IF EXISTS by_time
