-- First comes the shortest way: from the first occurrence of step 1, each step as early as possible. If this way does
-- not find a step, no other start finds it. So if everything that it finds lies within the window, that is the answer,
-- as it nearly always is. In the other sessions, every start is walked.
--
-- Each step has a subquery of its own: a fold over the steps costs twice as much. A column is an array only if it must
-- be, and no lambda captures an array: a captured array is copied for each element. There is no AND and no OR: for each
-- of them, ClickHouse's analyzer goes through everything that the columns beside it come from (210 of the 310 ms that
-- ten steps took to plan).
{% set last = length %}
{% set further = range(2, length + 1) %}
{% include "selected.sql" %}
    , {steps:Array(UInt16)} AS steps,
    {exclude:Array(UInt16)} AS excluded,
    {window:Int64} AS window,
    toInt64(-1) AS never,
    -- No session is this long, so the rest after a step that is not found is empty.
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
    {% for n in further %}
    , chained_{{ n }} AS
    (
        SELECT
            * EXCEPT (found_{{ n - 1 }}, rest_{{ n - 1 }}),
            indexOf(rest_{{ n - 1 }}, steps[{{ n }}]) AS found_{{ n }},
            (place_{{ n - 1 }} + found_{{ n }}) * (found_{{ n }} != 0) AS place_{{ n }},
            if(found_{{ n }} = 0, never, toUnixTimestamp64Micro(at[place_{{ n }}]) - start) AS time_{{ n }},
            arraySlice(rest_{{ n - 1 }}, if(found_{{ n }} = 0, behind, found_{{ n }} + 1)) AS rest_{{ n }}
        FROM chained_{{ n - 1 }}
    )
    {% endfor %}
{% if walking %}
    , chained AS
    (
        SELECT
            * EXCEPT (found_{{ last }}, rest_{{ last }}),
            {% if choosing %}
            hasAny(arraySlice(ids, place_1,
                greatest(0, place_1{% for n in further %}, place_{{ n }}{% endfor %}) - place_1 + 1),
                excluded) AS broken,
            {% endif %}
            greatest(0, time_1{% for n in further %}, time_{{ n }}{% endfor %}) AS longest,
            bitAnd(bitOr({start:String} = 'first', longest <= window),
                {{ "0" if shortest else "NOT broken" if choosing else "1" }}) AS sure
        FROM chained_{{ last }}
    )
-- The walk along the steps takes all starts at once. After step j, `latest` has a time for each event: the latest time
-- of an occurrence of step 1 from which a way leads to step j at this event or before. (If any start keeps the window,
-- the latest one does.) It is `none` if there is no such way, and `barrier` from an excluded event on, over which no
-- start is carried. An event is step j if it is that feature and an earlier event is step j-1: there `arrayFill` takes
-- the time of step j-1, and carries it on. If a step repeats the one before, a shift makes that event an earlier one,
-- so that no event is two steps. The shift is also made before step 2, because `arrayFill` keeps the first element
-- whatever it is. The carried time does not change between two events of a step, so the first event in the window is
-- always one of the step. The walk is linear in the length of a session and in the number of steps.
    , -9223372036854775808 AS none,
    -9223372036854775807 AS barrier,
    arrayConcat(steps, excluded) AS needed,
    relevant AS
    (
        SELECT
            * EXCEPT (ids, at),
            -- Nothing before the first start matters.
            greatest(place_1, 1) AS looked_from,
            if(bitOr(sure, place_1 = 0), 0, length(ids)) AS looked_at,
            arraySlice(ids, looked_from, looked_at) AS unsure_ids,
            arraySlice(at, looked_from, looked_at) AS unsure_at,
            arrayFilter(id -> has(needed, id), unsure_ids) AS events,
            arrayMap(time -> toUnixTimestamp64Micro(time),
                arrayFilter((time, id) -> has(needed, id), unsure_at, unsure_ids)) AS times
        FROM chained
    ),
    walked_1 AS
    (
        SELECT
            * EXCEPT (looked_from, looked_at, unsure_ids, unsure_at),
            -- The earliest start that is still in the window at each event.
            arrayMap(time -> time - window, times) AS opens,
            {% if choosing %}
            -- Every occurrence of step 1, or only the first one.
            arrayMap((id, nth) -> bitAnd(id = steps[1], bitOr({start:String} = 'any', nth = 1)),
                events, arrayCumSum(id -> id = steps[1], events)) AS is_start,
            arrayFill((time, start, id) -> bitOr(start, has(excluded, id)),
                arrayMap((time, id) -> if(has(excluded, id), barrier, time), times, events), is_start, events)
                AS latest_1,
            arrayFilter((time, start) -> start, times, is_start) AS start_times,
            arrayFilter((place, start) -> start, arrayEnumerate(times), is_start) AS start_places,
            -- The place of the last excluded event up to here.
            arrayFill(place -> place != 0,
                arrayMap((id, place) -> if(has(excluded, id), place, 0), events, arrayEnumerate(events))) AS barriers,
            {% else %}
            arrayFill((time, id) -> id = steps[1], times, events) AS latest_1,
            arrayFilter((time, id) -> id = steps[1], times, events) AS start_times,
            {% endif %}
            {% if shortest %}
            toInt64(0) AS quickest_1,
            {% endif %}
            time_1 AS walk_1
        FROM relevant
    )
    {% for n in further %}
    , walked_{{ n }} AS
    (
        SELECT
            * EXCEPT (is_start, latest_{{ n - 1 }}, earlier_{{ n - 1 }}, completes_{{ n - 1 }}, completed_{{ n - 1 }},
                first_{{ n - 1 }}, barrier_{{ n - 1 }}),
            {% if n == 2 or repeats[n - 1] %}
            arrayShiftRight(latest_{{ n - 1 }}, 1, none) AS earlier_{{ n }},
            {% else %}
            latest_{{ n - 1 }} AS earlier_{{ n }},
            {% endif %}
            {% if choosing %}
            arrayFill((start, id) -> bitOr(id = steps[{{ n }}], has(excluded, id)),
                arrayMap((start, id) -> if(has(excluded, id), barrier, start), earlier_{{ n }}, events), events)
                AS latest_{{ n }},
            {% else %}
            arrayFill((start, id) -> id = steps[{{ n }}], earlier_{{ n }}, events) AS latest_{{ n }},
            {% endif %}
            -- The first event that completes the step within the window; 0 if none does.
            arrayFirstIndex((start, open) -> start >= open, latest_{{ n }}, opens) AS completes_{{ n }},
            times[completes_{{ n }}] AS completed_{{ n }},
            -- The first start that completes the step: the earliest one that is still in the window then.
            {% if choosing %}
            barriers[completes_{{ n }}] AS barrier_{{ n }},
            arrayFirst((time, place) -> bitAnd(time >= completed_{{ n }} - window, place > barrier_{{ n }}),
                start_times, start_places) AS first_{{ n }},
            {% else %}
            arrayFirst(time -> time >= completed_{{ n }} - window, start_times) AS first_{{ n }},
            {% endif %}
            {% if shortest %}
            arrayMin((start, time) -> if(start > barrier, time - start, 9223372036854775807), latest_{{ n }}, times)
                AS quickest_{{ n }},
            {% endif %}
            if(completes_{{ n }} = 0, never, completed_{{ n }} - first_{{ n }}) AS walk_{{ n }}
        FROM walked_{{ n - 1 }}
    )
    {% endfor %}
{% endif %}
    , reached AS
    (
        SELECT
            {% for n in range(1, length + 1) %}
            {% if walking %}
            if(sure, if(time_{{ n }} <= window, time_{{ n }}, never), walk_{{ n }})
            {% else %}
            if(time_{{ n }} <= window, time_{{ n }}, never)
            {% endif %}
            AS took_{{ n }}{{ "" if loop.last else "," }}
            {% endfor %}
            {% if shortest %}
            , quickest_1{% for n in further %}, quickest_{{ n }}{% endfor %}
            {% endif %}
        FROM {{ "walked" if walking else "chained" }}_{{ last }}
    )
SELECT
    [countIf(took_1 >= 0){% for n in further %}, countIf(took_{{ n }} >= 0){% endfor %}] AS sessions,
    -- Step 1 takes no time.
    [
        0.
        {% for n in further %}
        , quantileExactInclusiveIf(0.5)(took_{{ n }}, took_{{ n }} >= 0) / 1000
        {% endfor %}
    ] AS median_time_ms,
    {% if shortest %}
    [
        0.
        {% for n in further %}
        , quantileExactInclusiveIf(0.5)(quickest_{{ n }}, took_{{ n }} >= 0) / 1000
        {% endfor %}
    ] AS median_shortest_ms
    {% else %}
    emptyArrayFloat64() AS median_shortest_ms
    {% endif %}
FROM reached
-- A session has a few arrays for each step, so few sessions are taken at a time. The conditional expressions cost less
-- than choosing the rows for them.
SETTINGS max_block_size = 4096, short_circuit_function_evaluation = 'disable'
