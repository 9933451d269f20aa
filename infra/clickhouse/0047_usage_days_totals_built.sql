/* For the runs that are there already. */
ALTER TABLE {database}.usage_days MATERIALIZE PROJECTION IF EXISTS totals
