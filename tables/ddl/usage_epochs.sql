/*
Which rows of `usage_days` are the truth, and of how much of the log. An epoch is complete in itself: the runs
to add up, and the position of each partition up to which they count the accepted events, exactly. It is
written after its runs, so a run that was never finished counts nowhere, and of two writers each has
epochs of its own. A row without runs withdraws all epochs that were begun before it (`withdrawn` counts
such rows at their beginning): events below the positions were healed or erased. Of the epochs that
stand, the one that includes most counts.
*/
CREATE TABLE IF NOT EXISTS {database}.usage_epochs
(
    epoch UInt64,
    runs Array(UInt64),
    partitions Array(UInt16),
    positions Array(UInt64),
    log_time DateTime64(3, 'UTC'),
    withdrawn UInt64
)
ENGINE = MergeTree
ORDER BY epoch
