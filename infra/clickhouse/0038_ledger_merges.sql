/*
Small inserts come all the time: parts are merged twelve or so at a time, which costs less beside them, for some parts
more to read. Merges build no statistics of columns, by which no statement is planned, and no part looks for columns
of mostly zeros, which compress to nothing anyway.
*/
ALTER TABLE {database}.ledger
    MODIFY SETTING merge_selector_base = 12, auto_statistics_types = '', ratio_of_defaults_for_sparse_serialization = 1
