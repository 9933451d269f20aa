SELECT offset, event_id, toUnixTimestamp64Milli(log_time), toInt8(verdict)
FROM {database}.ledger
WHERE partition = {partition:UInt16} AND offset IN {offsets:Array(UInt64)}
