-- Contiguous windows of 5 to 12 features, four in a word: `packed` holds at each place the four features from
-- there on, so that a window is two or three of its elements. No lambda captures an array: a captured array
-- is copied for each element, which a long session would not survive.
    , padded AS
    (
        SELECT
            arrayResize(ids, length(ids) + 12, 0) AS steps,
            toInt64(length(ids)) - {length:UInt8} + 1 AS windows
        FROM selected
        WHERE length(ids) >= {length:UInt8}
            AND ({start:UInt16} = 0 OR has(ids, {start:UInt16}))
            AND ({through:UInt16} = 0 OR has(ids, {through:UInt16}))
            AND ({end:UInt16} = 0 OR has(ids, {end:UInt16}))
    ),
    words AS
    (
        SELECT
            windows,
            arrayMap((a, b, c, d) -> bitShiftLeft(toUInt64(a), 48) + bitShiftLeft(toUInt64(b), 32) + bitShiftLeft(toUInt64(c), 16) + d,
                arrayPopBack(arrayPopBack(arrayPopBack(steps))),
                arrayPopBack(arrayPopBack(arrayPopFront(steps))),
                arrayPopBack(arrayPopFront(arrayPopFront(steps))),
                arrayPopFront(arrayPopFront(arrayPopFront(steps)))) AS packed
        FROM padded
    ),
    zipped AS
    (
        SELECT arrayZip(
            arrayMap(word -> bitAnd(word, {mask1:UInt64}), arraySlice(packed, 1, windows)),
            arrayMap(word -> bitAnd(word, {mask2:UInt64}), arraySlice(packed, 5, windows)),
            arrayMap(word -> bitAnd(word, {mask3:UInt64}), arraySlice(packed, 9, windows))) AS paths
        FROM words
    ),
    chosen AS
    (
        SELECT if({start:UInt16} = 0 AND {through:UInt16} = 0 AND {end:UInt16} = 0, paths, arrayFilter(
            path -> ({start:UInt16} = 0 OR bitShiftRight(path.1, 48) = {start:UInt16})
                AND ({end:UInt16} = 0 OR bitAnd(bitShiftRight(
                    multiIf({length:UInt8} <= 4, path.1, {length:UInt8} <= 8, path.2, path.3),
                    16 * ((12 - {length:UInt8}) % 4)), 65535) = {end:UInt16})
                AND ({through:UInt16} = 0
                    OR bitShiftRight(path.1, 48) = {through:UInt16}
                    OR bitAnd(bitShiftRight(path.1, 32), 65535) = {through:UInt16}
                    OR bitAnd(bitShiftRight(path.1, 16), 65535) = {through:UInt16}
                    OR bitAnd(path.1, 65535) = {through:UInt16}
                    OR bitShiftRight(path.2, 48) = {through:UInt16}
                    OR bitAnd(bitShiftRight(path.2, 32), 65535) = {through:UInt16}
                    OR bitAnd(bitShiftRight(path.2, 16), 65535) = {through:UInt16}
                    OR bitAnd(path.2, 65535) = {through:UInt16}
                    OR bitShiftRight(path.3, 48) = {through:UInt16}
                    OR bitAnd(bitShiftRight(path.3, 32), 65535) = {through:UInt16}
                    OR bitAnd(bitShiftRight(path.3, 16), 65535) = {through:UInt16}
                    OR bitAnd(path.3, 65535) = {through:UInt16}),
            paths)) AS paths
        FROM zipped
    ),
    counted AS
    (
        SELECT path.1 AS one, path.2 AS two, path.3 AS three, count() AS count, countIf(nth = 1) AS sessions
        FROM chosen
        ARRAY JOIN paths AS path, arrayEnumerateUniq(paths) AS nth
        GROUP BY one, two, three
        -- Those tied at the end are told apart by their names.
        ORDER BY count DESC
        LIMIT {limit:UInt32} WITH TIES
    )
SELECT
    arrayMap(id -> (known.2)[indexOf(known.1, id)], arrayFilter(id -> id != 0,
        arrayFlatten(arrayMap(word -> [bitShiftRight(word, 48), bitAnd(bitShiftRight(word, 32), 65535),
            bitAnd(bitShiftRight(word, 16), 65535), bitAnd(word, 65535)], [one, two, three])))) AS steps,
    count,
    sessions
FROM counted
CROSS JOIN (SELECT (groupArray(id), groupArray((category, name))) AS known FROM features) AS dictionary
ORDER BY count DESC, steps
LIMIT {limit:UInt32}
