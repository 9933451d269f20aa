-- The beginning of every question that reads `sequences`: the events of each session that pass the filters,
-- in order, as `ids` and `at`. Without filters only the columns that the question needs are read, and no array is copied.
-- A range is a slice, as the times of a session are in order; what passes the other filters is looked up once for both
-- arrays. The features that are wanted are a set and no array: an array that comes from a table is copied for each event
-- (28 s instead of 1 for a hundred million).
--
-- A session's newest row is the one with most events. FINAL finds it by comparing all rows with each other; while
-- nearly all of them are in one part (`nearly_merged`), it costs a quarter to look up what sessions the other parts hold,
-- and to leave out all but the newest of their rows (more, if the `largest` part was merged meanwhile). A row is known by
-- its place (hash of its part's name, plus its offset there); events and place are put into one number, which groups and
-- sorts in half the time of a tuple; and sessions that may have several rows are looked for by a hash of four bytes, in
-- half the time of sixteen: who is found by mistake is alone in its group.
WITH
    {from:DateTime64(6, 'UTC')} AS since, -- IF ranged
    {to:DateTime64(6, 'UTC')} AS until, -- IF ranged
    wanted AS -- IF picked
    ( -- IF picked
        SELECT id FROM features -- IF picked
        WHERE ({category:String} = '' OR category = {category:String}) -- IF picked
            AND ({name:String} = '' OR name = {name:String}) -- IF picked
    ), -- IF picked
    older AS -- IF nearly_merged
    ( -- IF nearly_merged
        SELECT toUInt64(arrayJoin(arrayPopFront(arrayReverseSort(groupArray( -- IF nearly_merged
            bitShiftLeft(toUInt128(events), 64) + (cityHash64(_part) + _part_offset)))))) -- IF nearly_merged
        FROM sequences -- IF nearly_merged
        PREWHERE toUInt32(cityHash64(session_id)) IN -- IF nearly_merged
        ( -- IF nearly_merged
            SELECT toUInt32(cityHash64(session_id)) AS session FROM sequences -- IF nearly_merged
            PREWHERE session IN -- IF nearly_merged
                (SELECT toUInt32(cityHash64(session_id)) FROM sequences WHERE _part != {largest:String}) -- IF nearly_merged
            GROUP BY session HAVING count() > 1 -- IF nearly_merged
        ) -- IF nearly_merged
        GROUP BY session_id -- IF nearly_merged
    ), -- IF nearly_merged
    sessions AS
    (
        SELECT session_id, features, times, apps
        FROM sequences FINAL -- IF NOT nearly_merged
        FROM sequences -- IF nearly_merged
        PREWHERE cityHash64(_part) + _part_offset NOT IN older -- IF nearly_merged
        WHERE true
            AND times[-1] >= since AND times[1] < until -- IF ranged
            AND ({app:String} = '' OR has(apps, {app:String})) -- IF picked
    ),
    ranged AS -- IF ranged
    ( -- IF ranged
        SELECT -- IF ranged
            session_id, -- IF ranged
            1 + arrayCount(time -> time < since, sessions.times) AS first, -- IF ranged
            1 + arrayCount(time -> time < until, sessions.times) - first AS within, -- IF ranged
            arraySlice(sessions.features, first, within) AS features, -- IF ranged
            arraySlice(sessions.times, first, within) AS times, -- IF ranged
            arraySlice(sessions.apps, first, within) AS apps -- IF ranged
        FROM sessions -- IF ranged
    ), -- IF ranged
    selected AS
    (
        SELECT
            session_id,
            features AS ids, -- IF NOT picked
            times AS at -- IF NOT picked
            arrayMap((feature, app) -> feature IN wanted AND ({app:String} = '' OR app = {app:String}), features, apps) AS passes, -- IF picked
            arrayFilter((feature, pass) -> pass, features, passes) AS ids, -- IF picked
            arrayFilter((time, pass) -> pass, times, passes) AS at -- IF picked
        FROM ranged -- IF ranged
        FROM sessions -- IF NOT ranged
    )
