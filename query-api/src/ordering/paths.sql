-- Contiguous windows of up to 4 features, packed into a word: the first in the highest bits. The end of a
-- session is padded, so that all windows are made alike; `mask` keeps what belongs to the window.
-- No lambda captures an array: a captured array is copied for each element.
    , padded AS
    (
        SELECT
            arrayResize(ids, length(ids) + 3, 0) AS steps,
            toInt64(length(ids)) - {length:UInt8} + 1 AS windows
        FROM selected
        WHERE length(ids) >= {length:UInt8}
            AND ({start:UInt16} = 0 OR has(ids, {start:UInt16}))
            AND ({through:UInt16} = 0 OR has(ids, {through:UInt16}))
            AND ({end:UInt16} = 0 OR has(ids, {end:UInt16}))
    ),
    words AS
    (
        SELECT arraySlice(
            arrayMap((a, b, c, d) -> bitAnd(bitShiftLeft(toUInt64(a), 48) + bitShiftLeft(toUInt64(b), 32)
                + bitShiftLeft(toUInt64(c), 16) + d, {mask1:UInt64}),
                arrayPopBack(arrayPopBack(arrayPopBack(steps))),
                arrayPopBack(arrayPopBack(arrayPopFront(steps))),
                arrayPopBack(arrayPopFront(arrayPopFront(steps))),
                arrayPopFront(arrayPopFront(arrayPopFront(steps)))),
            1, windows) AS all_words
        FROM padded
    ),
    chosen AS
    (
        SELECT if({start:UInt16} = 0 AND {through:UInt16} = 0 AND {end:UInt16} = 0, all_words, arrayFilter(
            word -> ({start:UInt16} = 0 OR bitShiftRight(word, 48) = {start:UInt16})
                AND ({end:UInt16} = 0
                    OR bitAnd(bitShiftRight(word, 16 * (4 - {length:UInt8})), 65535) = {end:UInt16})
                AND ({through:UInt16} = 0
                    OR bitShiftRight(word, 48) = {through:UInt16}
                    OR bitAnd(bitShiftRight(word, 32), 65535) = {through:UInt16}
                    OR bitAnd(bitShiftRight(word, 16), 65535) = {through:UInt16}
                    OR bitAnd(word, 65535) = {through:UInt16}),
            all_words)) AS words
        FROM words
    ),
    counted AS
    (
        SELECT word, count() AS count, countIf(nth = 1) AS sessions
        FROM chosen
        ARRAY JOIN words AS word, arrayEnumerateUniq(words) AS nth
        GROUP BY word
        -- Those tied at the end are told apart by their names.
        ORDER BY count DESC
        LIMIT {limit:UInt32} WITH TIES
    )
SELECT
    arrayMap(id -> (known.2)[indexOf(known.1, id)], arrayFilter(id -> id != 0,
        [bitShiftRight(word, 48), bitAnd(bitShiftRight(word, 32), 65535), bitAnd(bitShiftRight(word, 16), 65535),
            bitAnd(word, 65535)])) AS steps,
    count,
    sessions
FROM counted
CROSS JOIN (SELECT (groupArray(id), groupArray((category, name))) AS known FROM features) AS dictionary
ORDER BY count DESC, steps
LIMIT {limit:UInt32}
