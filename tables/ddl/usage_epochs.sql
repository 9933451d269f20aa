/*
Which rows of `usage_days` count, and how much of the log they include. An epoch is complete in itself: it has the runs
to add up, and the position of each partition up to which these runs count the accepted events, exactly.

A writer writes the epoch after its runs. So an unfinished run counts nowhere, and two writers have epochs of their
own.

A row without runs withdraws all epochs that were begun before it, because events below the positions were healed or
erased. `withdrawn` of an epoch is the number of such rows at its beginning. Of the epochs that are not withdrawn, the
one that includes most counts.
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
