INSERT INTO usage_epochs (epoch, runs, partitions, positions, log_time, withdrawn)
SELECT {run:UInt64}, {runs:Array(UInt64)}, {partitions:Array(UInt16)}, {positions:Array(UInt64)}, max(ledger.log_time), {withdrawn:UInt64}
FROM {all}.ledger
WHERE (partition, offset) IN
(
    SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, arrayMap(position -> position - 1, {positions:Array(UInt64)})))
)
