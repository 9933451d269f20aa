-- A run: what the events below {ends} count, less what those below {starts} counted before, for the sessions
-- that the log touched in between; or of every session, with {everything}.
INSERT INTO usage_days (run, app, kind, key, day, previous, events, first, last)
WITH
    -- TRICKY: one text for the pair, so that `transform` finds it by a hash; see sequences/recompute.sql.
    (
        SELECT (groupArray(text), groupArray(id), groupArray(category_id))
        FROM
        (
            SELECT
                concat(toString(length(category)), ':', category, name) AS text,
                id,
                min(id) OVER (PARTITION BY category) AS category_id
            FROM features
        )
    ) AS known,
    86400000000 AS day_length,
    2208988800000000 AS since_1900,
    sessions AS
    (
        SELECT
            groupArray((
                toUInt64(toUnixTimestamp64Micro(timestamp) + since_1900),
                toUInt64(transform(feature, known.1, known.2, toUInt16(0))),
                toUInt64(transform(feature, known.1, known.3, toUInt16(0))),
                app,
                offset < transform(partition, {partitions:Array(UInt16)}, {starts:Array(UInt64)}, toUInt64(0)))) AS events
        FROM
        (
            SELECT session_id, timestamp, partition, offset, app,
                concat(toString(length(category)), ':', category, name) AS feature
            FROM events
            WHERE offset < transform(partition, {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0))
                AND ({everything:Bool} OR session_id IN
                (
{touched}                ))
        )
        GROUP BY session_id
    ),
    -- For all applications and for each, what counts now and, negative, what counted before.
    counted_for AS
    (
        SELECT
            events,
            arrayJoin(arrayPushFront(arrayDistinct(events.4), '')) AS for_app,
            arrayJoin(if(has(events.5, 1), [1, -1], [1])) AS sign
        FROM sessions
    ),
    chosen AS
    (
        SELECT
            for_app,
            sign,
            arrayFilter(event -> (for_app = '' OR event.4 = for_app) AND (sign = 1 OR event.5), events) AS events
        FROM counted_for
    ),
    -- Kind and key in the high word, time in the low one: once sorted, the element before is the previous
    -- event of the same kind, if it is one of the same kind.
    marked AS
    (
        SELECT
            for_app,
            sign,
            arraySort(arrayConcat(
                arrayMap(event -> toUInt128(event.1), events),
                arrayMap(event -> bitShiftLeft(toUInt128(event.3 + bitShiftLeft(toUInt64(1), 32)), 64) + event.1, events),
                arrayMap(event -> bitShiftLeft(toUInt128(event.2 + bitShiftLeft(toUInt64(2), 32)), 64) + event.1, events)))
                AS marks
        FROM chosen
        WHERE notEmpty(events) AND NOT throwIf(has(events.2, 0), 'a feature without a number')
    ),
    placed AS
    (
        SELECT
            for_app,
            sign,
            toUInt64(bitShiftRight(mark, 64)) AS kind_and_key,
            toUInt64(bitAnd(mark, 18446744073709551615)) AS time,
            toUInt32(intDiv(time, day_length)) + 1 AS day,
            if(toUInt64(bitShiftRight(before, 64)) = kind_and_key,
                toUInt32(intDiv(toUInt64(bitAnd(before, 18446744073709551615)), day_length)) + 1, 0) AS previous
        FROM marked
        ARRAY JOIN marks AS mark, arrayPushFront(arrayPopBack(marks), bitNot(toUInt128(0))) AS before
    )
SELECT
    {run:UInt64},
    for_app,
    toUInt8(bitShiftRight(kind_and_key, 32)),
    toUInt16(bitAnd(kind_and_key, 65535)),
    day,
    previous,
    sum(sign) AS counted,
    -- The lowest bit tells whether something was counted at that time before.
    fromUnixTimestamp64Micro(toInt64(intDiv(min(2 * time + (sign = 1)) AS earliest, 2)) - since_1900, 'UTC'),
    fromUnixTimestamp64Micro(toInt64(intDiv(max(2 * time + (sign = -1)) AS latest, 2)) - since_1900, 'UTC')
FROM placed
GROUP BY for_app, kind_and_key, day, previous
-- Where events change places, the first or the last one may be new though their number is not.
HAVING counted != 0 OR earliest % 2 = 1 OR latest % 2 = 0
SETTINGS
    -- A session is finished before the next one begins. An event becomes some ten rows on the way, and each part of
    -- the table is grouped by itself before the parts meet, so few sessions at a time.
    optimize_aggregation_in_order = 1,
    max_block_size = 1024,
    max_threads = 1
