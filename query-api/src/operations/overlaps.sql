-- How many verdicts are too many.
SELECT toUInt64(count() - uniqExact(offset)) FROM ledger WHERE partition = {partition:UInt16} AND offset < {end:UInt64}
