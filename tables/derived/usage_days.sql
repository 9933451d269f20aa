-- What a run of `usage_days` counts: the events below {ends} less those below {starts}, of the sessions that the log
-- touches in between. With {everything}, of every session.
WITH
    -- TRICKY: one string for the pair, so that `transform` finds it by a hash; see sequences.sql.
    (
        SELECT (groupArray(text), groupArray(id), groupArray(category_id))
        FROM
        (
            SELECT
                concat(toString(length(category)), ':', category, name) AS text,
                id,
                min(id) OVER (PARTITION BY category) AS category_id
            FROM {all}.features
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
    -- For all applications together ('') and for each one: the count now and, negative, the count before. Most sessions
    -- have one application, whose count is also that of all.
    counted_for AS
    (
        SELECT
            events,
            arrayDistinct(events.4) AS apps,
            length(apps) = 1 AS alone,
            arrayJoin(if(alone, apps, arrayPushFront(apps, ''))) AS for_app,
            arrayJoin(if(has(events.5, 1), [1, -1], [1])) AS sign
        FROM sessions
    ),
    chosen AS
    (
        SELECT
            alone,
            for_app,
            sign,
            arrayFilter(event -> (alone OR for_app = '' OR event.4 = for_app) AND (sign = 1 OR event.5), events) AS events
        FROM counted_for
    ),
    -- Kind and key are the high word, time is the low one. Once sorted, the element before is the previous event of the
    -- same kind and key, if there is one.
    marked AS
    (
        SELECT
            alone,
            for_app,
            sign,
            arraySort(arrayConcat(
                arrayMap(event -> toUInt128(event.1), events),
                arrayMap(event -> bitShiftLeft(toUInt128(event.3 + 65536), 64) + event.1, events),
                arrayMap(event -> bitShiftLeft(toUInt128(event.2 + 131072), 64) + event.1, events)))
                AS marks
        FROM chosen
        WHERE notEmpty(events) AND NOT throwIf(has(events.2, 0), 'a feature without a number')
    ),
    placed AS
    (
        SELECT
            alone,
            for_app,
            sign,
            toUInt64(bitShiftRight(mark, 64)) AS kind_and_key,
            toUInt64(bitAnd(mark, 18446744073709551615)) AS time,
            intDiv(time, day_length) + 1 AS day,
            if(toUInt64(bitShiftRight(before, 64)) = kind_and_key,
                intDiv(toUInt64(bitAnd(before, 18446744073709551615)), day_length) + 1, 0) AS previous,
            -- Grouping by one number takes half the time of four. A day takes 18 bits.
            bitShiftLeft(toUInt64(alone), 54) + bitShiftLeft(kind_and_key, 36) + bitShiftLeft(day, 18) + previous AS place
        FROM marked
        ARRAY JOIN marks AS mark, arrayPushFront(arrayPopBack(marks), bitNot(toUInt128(0))) AS before
    ),
    -- The lowest bit of a time tells whether the event counted before.
    grouped AS
    (
        SELECT
            for_app,
            place,
            sum(sign) AS change,
            min(2 * time + (sign = 1)) AS earliest,
            max(2 * time + (sign = -1)) AS latest
        FROM placed
        GROUP BY for_app, place
    )
SELECT
    arrayJoin(if(bitTest(place, 54), ['', for_app], [for_app])) AS app,
    toUInt8(bitAnd(bitShiftRight(place, 52), 3)) AS kind,
    toUInt16(bitAnd(bitShiftRight(place, 36), 65535)) AS key,
    toUInt32(bitAnd(bitShiftRight(place, 18), 262143)) AS day,
    toUInt32(bitAnd(place, 262143)) AS previous,
    sum(change) AS events,
    fromUnixTimestamp64Micro(toInt64(intDiv(min(grouped.earliest) AS first_mark, 2)) - since_1900, 'UTC') AS first,
    fromUnixTimestamp64Micro(toInt64(intDiv(max(grouped.latest) AS last_mark, 2)) - since_1900, 'UTC') AS last
FROM grouped
GROUP BY app, kind, key, day, previous
-- If events change places, the first or last time may be new though the count is the same.
HAVING events != 0 OR first_mark % 2 = 1 OR last_mark % 2 = 0
