-- One walk along the steps, all sessions at once. After step j, `starts` holds at each event that can be
-- step j the latest time that its step 1 can have had (if any start keeps the window, the latest does),
-- else `none`; at an excluded event `barrier`, over which no start is carried. An event is step j if it is
-- that feature and some earlier event is step j-1: `arrayFill` carries, the shift makes it earlier, so no
-- event serves two steps. Linear in the length of a session and in the number of steps.
-- funnel_step.sql follows once a step: as a fold over the steps it costs twice as much. What exclusion needs is
-- folded away before the query runs if nothing is excluded.
    , -9223372036854775808 AS none,
    -9223372036854775807 AS barrier,
    {steps:Array(UInt16)} AS steps,
    {exclude:Array(UInt16)} AS excluded,
    {window:Int64} AS window,
    empty(excluded) AS unbroken,
    arrayConcat(steps, excluded) AS needed,
    flagged AS
    (
        SELECT ids, at, arrayMap(id -> has(needed, id), ids) AS flags
        FROM selected
        WHERE has(ids, steps[1])
    ),
    relevant AS
    (
        SELECT
            arrayFilter((id, flag) -> flag, ids, flags) AS events,
            arrayMap(time -> toUnixTimestamp64Micro(time), arrayFilter((time, flag) -> flag, at, flags)) AS times
        FROM flagged
    ),
    walked_1 AS
    (
        SELECT
            events,
            times,
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
            [(toUInt32(1), toInt64(0), toInt64(0))] AS reached_1
        FROM relevant
    )
