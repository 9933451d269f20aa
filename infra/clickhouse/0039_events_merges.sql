/* Statistics as in 0038; merged as often as ever, as a page of the list of events reads from every part. */
ALTER TABLE {database}.events
    MODIFY SETTING auto_statistics_types = '', ratio_of_defaults_for_sparse_serialization = 1
