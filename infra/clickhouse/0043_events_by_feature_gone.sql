/* `listed` does its work. */
ALTER TABLE {database}.events DROP PROJECTION IF EXISTS by_feature
