-- One walk along the steps, all sessions at once. After step j, `starts` holds at each event that can be
-- step j the latest time that its step 1 can have had (if any start keeps the window, the latest does),
-- else `none`; at an excluded event `barrier`, over which no start is carried. An event is step j if it is
-- that feature and some earlier event is step j-1: `arrayFill` carries, the shift makes it earlier, so no
-- event serves two steps. Linear in the length of a session and in the number of steps.
    , -9223372036854775808 AS none,
    -9223372036854775807 AS barrier,
    {steps:Array(UInt16)} AS steps,
    {exclude:Array(UInt16)} AS excluded,
    {window:Int64} AS window,
    arrayConcat(steps, excluded) AS needed,
    relevant AS
    (
        SELECT
            arrayFilter(id -> has(needed, id), ids) AS events,
            arrayMap(time -> toUnixTimestamp64Micro(time),
                arrayFilter((time, id) -> has(needed, id), at, ids)) AS times
        FROM selected
        WHERE has(ids, steps[1])
    ),
    started AS
    (
        SELECT
            events,
            times,
            -- Every occurrence of step 1, or only the first one.
            arrayMap((id, time, nth) -> multiIf(
                id = steps[1] AND ({start:String} = 'any' OR nth = 1), time, has(excluded, id), barrier, none),
                events, times, arrayCumSum(id -> id = steps[1], events)) AS first,
            arrayFilter((time, start) -> start > barrier, times, first) AS start_times,
            arrayFilter((place, start) -> start > barrier, arrayEnumerate(times), first) AS start_places,
            -- The place of the last excluded event up to here.
            arrayFill(place -> place != 0,
                arrayMap((id, place) -> if(has(excluded, id), place, 0), events, arrayEnumerate(events))) AS broken
        FROM relevant
    ),
    walked AS
    (
        SELECT arrayFold((walk, step) -> (
            arrayMap((id, earlier) -> multiIf(
                id = step AND earlier > barrier, earlier, has(excluded, id), barrier, none),
                events, arrayPushFront(arrayPopBack(arrayFill(start -> start != none, walk.1)), none)) AS starts,
            arrayPushBack(walk.2, (
                -- The first event that completes the step within the window; 0 if none does.
                arrayFirstIndex(time -> time <= window,
                    arrayMap((start, time) -> if(start > barrier, time - start, 9223372036854775807), starts, times) AS took)
                    AS place,
                -- From the first start that completes it: the earliest one that is still in the window then.
                times[place] - arrayFirst((time, start) -> time >= times[place] - window AND start > broken[place],
                    start_times, start_places),
                arrayMin(took)))),
            arrayPopFront(steps),
            (first, [(toUInt32(1), toInt64(0), toInt64(0))])).2 AS walk
        FROM started
    )
SELECT
    toUInt32(step) AS step,
    count() AS sessions,
    quantileExactInclusive(0.5)(result.2) / 1000 AS median_time_ms,
    quantileExactInclusive(0.5)(result.3) / 1000 AS median_shortest_ms
FROM walked
-- Who reaches a step has reached all before it: what is left after filtering keeps its place.
ARRAY JOIN arrayFilter(result -> result.1 > 0, walk) AS result, arrayEnumerate(arrayFilter(result -> result.1 > 0, walk)) AS step
GROUP BY step
ORDER BY step
