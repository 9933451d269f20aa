/* As 0038. */
ALTER TABLE {database}.events
    MODIFY SETTING merge_selector_base = 12, auto_statistics_types = '', ratio_of_defaults_for_sparse_serialization = 1
