-- The event ids that a record at `offset` can be a duplicate of, given a window of `milliseconds`, each with the place
-- of its application in `apps`. Log time never decreases within a partition, so that of the last row before `offset` is
-- the largest.
WITH
(
    SELECT max(log_time)
    FROM {database}.ledger
    WHERE partition = {partition:UInt16} AND offset = {offset:UInt64} - 1
) AS now
SELECT offset, event_id, toUnixTimestamp64Milli(log_time), toUInt16(indexOf({apps:Array(String)}, app))
FROM {database}.ledger
WHERE partition = {partition:UInt16} AND offset < {offset:UInt64}
  AND (verdict = 'accepted' OR verdict = 'erased' AND first_offset = offset)
  AND toUnixTimestamp64Milli(log_time) >= toUnixTimestamp64Milli(now) - {milliseconds:Int64}
ORDER BY offset
