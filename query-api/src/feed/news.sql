-- The verdicts of some ranges of the log. The ranges come as three arrays: partitions, first offsets, ends.
WITH ranges AS
(
    SELECT range.1 AS partition, arrayJoin(range(range.2, range.3)) AS offset
    FROM (SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {starts:Array(UInt64)}, {ends:Array(UInt64)})) AS range)
),
verdicts AS
(
    SELECT partition, offset, toString(verdict) AS verdict, event_id, session_id, timestamp, received_at
    FROM ledger
    WHERE (partition, offset) IN (SELECT partition, offset FROM ranges)
        AND ledger.verdict IN ('accepted', 'rejected', 'duplicate')
),
accepted AS
(
    SELECT partition, offset, app, category, name, data
    FROM events
    WHERE (session_id, timestamp, partition, offset)
        IN (SELECT session_id, timestamp, partition, offset FROM verdicts WHERE verdict = 'accepted')
),
rejected AS
(
    SELECT partition, offset, app, category, name,
        arrayMap(reason -> (toString(reason.code), reason.pointer, toString(reason.keyword), reason.message), 
            rejections.reasons) AS reasons
    FROM rejections
    WHERE (partition, offset) IN (SELECT partition, offset FROM ranges)
)
SELECT
    verdicts.partition AS partition,
    verdicts.offset AS offset,
    verdict,
    event_id,
    session_id,
    timestamp,
    received_at,
    concat(toString(accepted.app), toString(rejected.app)) AS app,
    concat(toString(accepted.category), rejected.category) AS category,
    concat(toString(accepted.name), rejected.name) AS name,
    accepted.data AS data,
    rejected.reasons AS reasons
FROM verdicts
LEFT JOIN accepted ON accepted.partition = verdicts.partition AND accepted.offset = verdicts.offset
LEFT JOIN rejected ON rejected.partition = verdicts.partition AND rejected.offset = verdicts.offset
ORDER BY verdicts.received_at, partition, offset
