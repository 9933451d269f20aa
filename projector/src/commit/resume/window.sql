-- The event ids that a record at `to` can be a duplicate of: `from` is the window in milliseconds.
-- Log time never decreases within a partition, so that of the last row before `to` is the largest.
WITH
(
    SELECT max(log_time)
    FROM {database}.ledger
    WHERE partition = {partition:UInt16} AND offset = {to:UInt64} - 1
) AS now
SELECT offset, event_id, toUnixTimestamp64Milli(log_time)
FROM {database}.ledger
WHERE partition = {partition:UInt16} AND offset < {to:UInt64}
  AND (verdict IN ('accepted', 'rejected') OR verdict = 'erased' AND first_offset = offset)
  AND toUnixTimestamp64Milli(log_time) >= toUnixTimestamp64Milli(now) - toInt64({from:UInt64})
ORDER BY offset
