/* As in 0044. */
ALTER TABLE {database}.events
    MODIFY SETTING materialize_projections_on_insert = 0, materialize_projections_on_merge = 1
