-- First the shortest way: from the first occurrence of step 1, each step as early as possible. A step that it does not
-- find, no other start finds; so if all that it finds lies within the window, that is the answer, and nearly always
-- it does. Of the other sessions every start is walked.
-- The statement is put together of the parts between the marks, as a fold over the steps costs twice as much; a name
-- that begins with a dollar is the number of a step, or stands for a list of one item a step.
    , {steps:Array(UInt16)} AS steps,
    {exclude:Array(UInt16)} AS excluded,
    {window:Int64} AS window,
    empty(excluded) AS unbroken,
    chained_1 AS
    (
        SELECT
            ids,
            at,
            indexOf(ids, steps[1]) AS found_1,
            found_1 AS place_1,
            toInt64(0) AS time_1,
            toUnixTimestamp64Micro(at[place_1]) AS start,
            arraySlice(ids, place_1 + 1) AS rest_1
        FROM selected
        WHERE has(ids, steps[1])
    )
-- ###
-- Once a step.
    , chained_$this AS
    (
        SELECT
            *,
            indexOf(rest_$before, steps[$this]) AS found_$this,
            place_$before + found_$this AS place_$this,
            toUnixTimestamp64Micro(at[place_$this]) - start AS time_$this,
            arraySlice(rest_$before, found_$this + 1) AS rest_$this
        FROM chained_$before
    )
-- ###
    , chained AS
    (
        SELECT
            ids,
            at,
            -- So many steps are found. What comes after the first that is not means nothing.
            indexOf([$found, toUInt64(0)], 0) - 1 AS level,
            arraySlice([$time], 1, level) AS chain,
            NOT unbroken AND hasAny(arraySlice(ids, place_1, arraySum(arraySlice([$found], 1, level)) - place_1 + 1), excluded) AS broken,
            NOT {shortest:Bool} AND NOT broken AND (chain[level] <= window OR {start:String} = 'first') AS sure,
            arrayFilter(time -> time <= window, chain) AS sure_times
        FROM chained_$this
    )
-- ###
-- The walk along the steps, all starts at once. After step j, `starts` holds at each event that can be
-- step j the latest time that its step 1 can have had (if any start keeps the window, the latest does),
-- else `none`; at an excluded event `barrier`, over which no start is carried. An event is step j if it is
-- that feature and some earlier event is step j-1: `arrayFill` carries, the shift makes it earlier, so no
-- event serves two steps. Linear in the length of a session and in the number of steps.
-- What exclusion needs is folded away before the query runs if nothing is excluded.
    , -9223372036854775808 AS none,
    -9223372036854775807 AS barrier,
    arrayConcat(steps, excluded) AS needed,
    flagged AS
    (
        SELECT
            sure,
            sure_times,
            if(sure, 0, length(ids)) AS unsure,
            arraySlice(ids, 1, unsure) AS unsure_ids,
            arraySlice(at, 1, unsure) AS unsure_at,
            arrayMap(id -> has(needed, id), unsure_ids) AS flags
        FROM chained
    ),
    relevant AS
    (
        SELECT
            sure,
            sure_times,
            arrayFilter((id, flag) -> flag, unsure_ids, flags) AS events,
            arrayMap(time -> toUnixTimestamp64Micro(time), arrayFilter((time, flag) -> flag, unsure_at, flags)) AS times
        FROM flagged
    ),
    walked_1 AS
    (
        SELECT
            *,
            -- Every occurrence of step 1, or only the first one.
            if({start:String} = 'any' AND unbroken,
                arrayMap((id, time) -> if(id = steps[1], time, none), events, times),
                arrayMap((id, time, nth) -> multiIf(
                    id = steps[1] AND ({start:String} = 'any' OR nth = 1), time, has(excluded, id), barrier, none),
                    events, times, arrayCumSum(id -> id = steps[1], events))) AS starts_1,
            arrayFilter(start -> start > barrier, starts_1) AS start_times,
            if(unbroken, emptyArrayUInt32(),
                arrayFilter((place, start) -> start > barrier, arrayEnumerate(times), starts_1)) AS start_places,
            -- The place of the last excluded event up to here.
            if(unbroken, emptyArrayUInt32(), arrayFill(place -> place != 0,
                arrayMap((id, place) -> if(has(excluded, id), place, 0), events, arrayEnumerate(events)))) AS broken,
            toInt64(0) AS walk_1,
            toInt64(0) AS quickest_1
        FROM relevant
    )
-- ###
-- Once a step.
    , walked_$this AS
    (
        SELECT
            *,
            arrayPopBack(arrayPushFront(arrayFill(start -> start != none, starts_$before), none)) AS carried_$this,
            if(unbroken,
                arrayMap((id, earlier) -> if(id = steps[$this], earlier, none), events, carried_$this),
                arrayMap((id, earlier) -> multiIf(
                    id = steps[$this] AND earlier > barrier, earlier, has(excluded, id), barrier, none), events, carried_$this))
                AS starts_$this,
            arrayMap((start, time) -> if(start > barrier, time - start, 9223372036854775807), starts_$this, times) AS took_$this,
            -- The first event that completes the step within the window; 0 if none does.
            arrayFirstIndex(time -> time <= window, took_$this) AS completes_$this,
            times[completes_$this] AS completed_$this,
            -- From the first start that completes it: the earliest one that is still in the window then.
            if(completes_$this = 0, -1, completed_$this - if(unbroken,
                arrayFirst(time -> time >= completed_$this - window, start_times),
                arrayFirst((time, start) -> time >= completed_$this - window AND start > broken[completes_$this],
                    start_times, start_places))) AS walk_$this,
            if({shortest:Bool}, arrayMin(took_$this), 0) AS quickest_$this
        FROM walked_$before
    )
-- ###
    , reached AS
    (
        SELECT
            -- Who reaches a step has reached all before it: what is left after filtering keeps its place.
            if(sure, sure_times, arrayFilter(time -> time >= 0, [$walk])) AS times,
            if({shortest:Bool}, arraySlice([$quickest], 1, length(times)), times) AS quickest
        FROM walked_$this
    )
-- ###
SELECT
    toUInt32(step) AS step,
    count() AS sessions,
    quantileExactInclusive(0.5)(time) / 1000 AS median_time_ms,
    quantileExactInclusive(0.5)(shortest) / 1000 AS median_shortest_ms
FROM reached
ARRAY JOIN times AS time, quickest AS shortest, arrayEnumerate(times) AS step
GROUP BY step
ORDER BY step
-- A few arrays a step: few sessions at a time. What is conditional here costs less than choosing the rows for it.
SETTINGS max_block_size = 4096, short_circuit_function_evaluation = 'disable'
