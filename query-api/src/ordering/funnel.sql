-- First the shortest way: from the first occurrence of step 1, each step as early as possible. A step that it does not
-- find, no other start finds; so if all that it finds lies within the window, that is the answer, and nearly always
-- it does. Of the other sessions every start is walked.
--
-- `Form` in funnel.rs puts the statement together: a section is there once, or once for each further step, and what
-- stands in guillemets is an item a step. (A fold over the steps costs twice as much.) No column is an array unless it
-- must be, and no lambda captures one: a captured array is copied for each element. No AND and no OR: for each of them
-- ClickHouse's analyzer goes through all that the columns beside it come from (of ten steps' 310 ms of planning, 210).
    , {steps:Array(UInt16)} AS steps,
    {exclude:Array(UInt16)} AS excluded,
    {window:Int64} AS window,
    toInt64(-1) AS never,
    -- No session is so long: what comes after a step that is not found is empty.
    4294967295 AS behind,
    chained_1 AS
    (
        SELECT
            ids,
            at,
            indexOf(ids, steps[1]) AS place_1,
            place_1 AS found_1,
            toUnixTimestamp64Micro(at[place_1]) AS start,
            if(place_1 = 0, never, 0) AS time_1,
            arraySlice(ids, if(place_1 = 0, behind, place_1 + 1)) AS rest_1
        FROM selected
    )
-- ### for each further step
    , chained_$this AS
    (
        SELECT
            * EXCEPT (found_$before, rest_$before),
            indexOf(rest_$before, steps[$this]) AS found_$this,
            (place_$before + found_$this) * (found_$this != 0) AS place_$this,
            if(found_$this = 0, never, toUnixTimestamp64Micro(at[place_$this]) - start) AS time_$this,
            arraySlice(rest_$before, if(found_$this = 0, behind, found_$this + 1)) AS rest_$this
        FROM chained_$before
    )
-- ### once IF walking
    , chained AS
    (
        SELECT
            * EXCEPT (found_$last, rest_$last),
            hasAny(arraySlice(ids, place_1, greatest(0, «place_$this») - place_1 + 1), excluded) AS broken, -- IF choosing
            greatest(0, «time_$this») AS longest,
            bitAnd(NOT broken, -- IF choosing
            bitAnd(0, -- IF shortest
            bitOr({start:String} = 'first', longest <= window)
            ) -- IF shortest
            ) -- IF choosing
            AS sure
        FROM chained_$last
    )
-- The walk along the steps, all starts at once. After step j, `latest` holds at each event the latest time that the
-- step 1 of a way to step j can have had, if the way ends there or before (if any start keeps the window, the latest
-- does), else `none`; from an excluded event on `barrier`, over which no start is carried. An event is step j if it is
-- that feature and some earlier event is step j-1: there `arrayFill` takes what holds for step j-1, and carries it on.
-- Where a step repeats the one before, a shift makes that earlier, so no event serves two steps; and before step 2,
-- as `arrayFill` keeps the first element whatever it is. What is carried does not change while time goes on, so
-- the first event in the window is always one of the step. Linear in the length of a session and in the number of steps.
    , -9223372036854775808 AS none,
    -9223372036854775807 AS barrier,
    arrayConcat(steps, excluded) AS needed,
    relevant AS
    (
        SELECT
            * EXCEPT (ids, at),
            -- From the first start on: nothing before it matters.
            greatest(place_1, 1) AS looked_from,
            if(bitOr(sure, place_1 = 0), 0, length(ids)) AS looked_at,
            arraySlice(ids, looked_from, looked_at) AS unsure_ids,
            arraySlice(at, looked_from, looked_at) AS unsure_at,
            arrayFilter(id -> has(needed, id), unsure_ids) AS events,
            arrayMap(time -> toUnixTimestamp64Micro(time), arrayFilter((time, id) -> has(needed, id), unsure_at, unsure_ids)) AS times
        FROM chained
    ),
    walked_1 AS
    (
        SELECT
            * EXCEPT (looked_from, looked_at, unsure_ids, unsure_at),
            -- The earliest start that is still in the window at each event.
            arrayMap(time -> time - window, times) AS opens,
            -- Every occurrence of step 1, or only the first one.
            arrayMap((id, nth) -> bitAnd(id = steps[1], bitOr({start:String} = 'any', nth = 1)), -- IF choosing
                events, arrayCumSum(id -> id = steps[1], events)) AS is_start, -- IF choosing
            arrayFill((time, id) -> id = steps[1], times, events) AS latest_1, -- IF NOT choosing
            arrayFill((time, start, id) -> bitOr(start, has(excluded, id)), -- IF choosing
                arrayMap((time, id) -> if(has(excluded, id), barrier, time), times, events), is_start, events) AS latest_1, -- IF choosing
            arrayFilter((time, id) -> id = steps[1], times, events) AS start_times, -- IF NOT choosing
            arrayFilter((time, start) -> start, times, is_start) AS start_times, -- IF choosing
            arrayFilter((place, start) -> start, arrayEnumerate(times), is_start) AS start_places, -- IF choosing
            -- The place of the last excluded event up to here.
            arrayFill(place -> place != 0, -- IF choosing
                arrayMap((id, place) -> if(has(excluded, id), place, 0), events, arrayEnumerate(events))) AS barriers, -- IF choosing
            toInt64(0) AS quickest_1, -- IF shortest
            time_1 AS walk_1
        FROM relevant
    )
-- ### for each further step IF walking
    , walked_$this AS
    (
        SELECT
            * EXCEPT (is_start, latest_$before, earlier_$before, completes_$before, completed_$before, first_$before, barrier_$before),
            latest_$before AS earlier_$this, -- IF NOT shifted
            arrayShiftRight(latest_$before, 1, none) AS earlier_$this, -- IF shifted
            arrayFill((start, id) -> id = steps[$this], earlier_$this, events) AS latest_$this, -- IF NOT choosing
            arrayFill((start, id) -> bitOr(id = steps[$this], has(excluded, id)), -- IF choosing
                arrayMap((start, id) -> if(has(excluded, id), barrier, start), earlier_$this, events), events) AS latest_$this, -- IF choosing
            -- The first event that completes the step within the window; 0 if none does.
            arrayFirstIndex((start, open) -> start >= open, latest_$this, opens) AS completes_$this,
            times[completes_$this] AS completed_$this,
            -- From the first start that completes it: the earliest one that is still in the window then.
            arrayFirst(time -> time >= completed_$this - window, start_times) AS first_$this, -- IF NOT choosing
            barriers[completes_$this] AS barrier_$this, -- IF choosing
            arrayFirst((time, place) -> bitAnd(time >= completed_$this - window, place > barrier_$this), -- IF choosing
                start_times, start_places) AS first_$this, -- IF choosing
            arrayMin((start, time) -> if(start > barrier, time - start, 9223372036854775807), latest_$this, times) AS quickest_$this, -- IF shortest
            if(completes_$this = 0, never, completed_$this - first_$this) AS walk_$this
        FROM walked_$before
    )
-- ### once
    , reached AS
    (
        SELECT
            «if(sure, if(time_$this <= window, time_$this, never), walk_$this) AS took_$this» -- IF walking
            «if(time_$this <= window, time_$this, never) AS took_$this» -- IF NOT walking
            , «quickest_$this» -- IF shortest
        FROM walked_$last -- IF walking
        FROM chained_$last -- IF NOT walking
    )
SELECT
    [«countIf(took_$this >= 0)»] AS sessions,
    -- Step 1 takes no time.
    [«if($this = 1, 0, quantileExactInclusiveIf(0.5)(took_$this, bitAnd($this != 1, took_$this >= 0))) / 1000»] AS median_time_ms,
    [«if($this = 1, 0, quantileExactInclusiveIf(0.5)(quickest_$this, bitAnd($this != 1, took_$this >= 0))) / 1000»] -- IF shortest
        AS median_shortest_ms -- IF shortest
    emptyArrayFloat64() AS median_shortest_ms -- IF NOT shortest
FROM reached
-- A few arrays a step: few sessions at a time. What is conditional here costs less than choosing the rows for it.
SETTINGS max_block_size = 4096, short_circuit_function_evaluation = 'disable'
