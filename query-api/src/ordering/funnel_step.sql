    , walked_$this AS
    (
        SELECT
            events,
            times,
            start_times,
            start_places,
            broken,
            arrayPushFront(arrayPopBack(arrayFill(start -> start != none, starts_$before)), none) AS carried,
            if(unbroken,
                arrayMap((id, earlier) -> if(id = steps[$this], earlier, none), events, carried),
                arrayMap((id, earlier) -> multiIf(
                    id = steps[$this] AND earlier > barrier, earlier, has(excluded, id), barrier, none), events, carried))
                AS starts_$this,
            arrayMap((start, time) -> if(start > barrier, time - start, 9223372036854775807), starts_$this, times) AS took,
            -- The first event that completes the step within the window; 0 if none does.
            arrayFirstIndex(time -> time <= window, took) AS place,
            arrayPushBack(reached_$before, (
                toUInt32(place),
                -- From the first start that completes it: the earliest one that is still in the window then.
                times[place] - if(unbroken,
                    arrayFirst(time -> time >= times[place] - window, start_times),
                    arrayFirst((time, start) -> time >= times[place] - window AND start > broken[place],
                        start_times, start_places)),
                arrayMin(took))) AS reached_$this
        FROM walked_$before
    )
