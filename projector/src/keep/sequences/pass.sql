INSERT INTO sequences (session_id, events, features, times, apps)
{sequences}SETTINGS
    -- In the order of the table, so that a session is finished before the next one begins: the longest session bounds
    -- memory, not the number of sessions. But ClickHouse reads and groups each part of the table by itself, a block at
    -- a time, before it joins them: 16 million events in 80 parts take 3.0 GiB with the usual blocks of 65,409 rows,
    -- and 0.7 GiB with blocks of 1,024 (a granule).
    optimize_aggregation_in_order = 1,
    max_block_size = 1024,
    -- A pass leaves a core to the inserts.
    max_threads = {threads:UInt8},
    -- A block of the usual 256 MB would be in memory several times: while it grows, is sorted and is written.
    min_insert_block_size_bytes = 32000000
