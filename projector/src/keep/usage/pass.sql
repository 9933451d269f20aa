INSERT INTO usage_days (run, app, kind, key, day, previous, events, first, last)
SELECT {run:UInt64}, app, kind, key, day, previous, events, first, last
FROM
(
{usage_days})
SETTINGS
    -- A session is finished before the next one begins. An event becomes three to six rows on the way, and ClickHouse
    -- groups each part of the table by itself before it joins them: so few rows at a time.
    optimize_aggregation_in_order = 1,
    max_block_size = 1024,
    max_threads = 1
