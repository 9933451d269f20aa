-- Computes the sequences of the sessions that the ranges of the log touch, each from all of its events. {ranges} are
-- three arrays: partition, first offset, end. With {everything}, every session is computed and the ranges are not read,
-- because a set of all offsets would not fit into memory.
INSERT INTO sequences (session_id, events, features, times, apps)
WITH
    -- TRICKY: one string for the pair, so that `transform` finds it by a hash. The length keeps ('a', 'bc') and ('ab',
    -- 'c') apart. Names and numbers must come from one reading of the table: two readings order the rows differently,
    -- which would swap the numbers.
    (
        SELECT (groupArray(concat(toString(length(category)), ':', category, name)), groupArray(id)) FROM {all}.features
    ) AS known
SELECT
    session_id,
    length(ordered) AS events,
    arrayMap(event -> event.4, ordered) AS features,
    arrayMap(event -> event.1, ordered) AS times,
    arrayMap(event -> event.5, ordered) AS apps
FROM
(
    SELECT
        session_id,
        arraySort(groupArray((
            timestamp,
            partition,
            offset,
            transform(concat(toString(length(category)), ':', category, name), known.1, known.2, toUInt16(0)),
            app))) AS ordered
    FROM events
    WHERE {everything:Bool} OR session_id IN
    (
{touched}    )
    GROUP BY session_id
)
WHERE NOT throwIf(has(features, 0), 'a feature without a number')
SETTINGS
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
