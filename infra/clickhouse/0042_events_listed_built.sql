/* For the events that are there already; in the background. */
ALTER TABLE {database}.events MATERIALIZE PROJECTION IF EXISTS listed
