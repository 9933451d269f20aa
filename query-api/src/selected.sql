-- The beginning of every question that reads `sequences`: the events of each session that pass the filters,
-- in order, as `ids` and `at`. No filter moves `began` and `ended`, the times of the session's first and last event of all,
-- nor the places of `sessions`, which has all events of each session that may have one in the range. Without filters only the columns that the question needs are read, and no array is copied.
-- A range is a slice, as the times of a session are in order; what passes the other filters is looked up once for both
-- arrays. The features that are wanted are a set and no array: an array that comes from a table is copied for each event
-- (28 s instead of 1 for a hundred million).
--
-- A session's newest row is the one with most events. FINAL finds it by comparing rows: quick as long as it reads no
-- arrays, so it is first asked for the places of the newest rows (of three million in 60 ms; all that is read here goes
-- through it in 250 ms more). A place is the number of a row in the list of parts, which is the same for all of a
-- statement (`enable_shared_storage_snapshot_in_query`). What is `spread` over a cluster has no places.
WITH
    (SELECT groupBitmapState(_part_starting_offset + _part_offset) FROM sequences FINAL) AS newest, -- IF NOT spread
    {from:DateTime64(6, 'UTC')} AS since, -- IF ranged
    {to:DateTime64(6, 'UTC')} AS until, -- IF ranged
    wanted AS -- IF picked
    ( -- IF picked
        SELECT id FROM features -- IF picked
        WHERE ({category:String} = '' OR category = {category:String}) -- IF picked
            AND ({name:String} = '' OR name = {name:String}) -- IF picked
    ), -- IF picked
    sessions AS
    (
        SELECT session_id, features, times, apps, times[1] AS began, times[-1] AS ended
        FROM sequences FINAL -- IF spread
        FROM sequences -- IF NOT spread
        PREWHERE bitmapContains(newest, _part_starting_offset + _part_offset) -- IF NOT spread
        WHERE true
            AND ended >= since AND began < until -- IF ranged
            AND ({app:String} = '' OR has(apps, {app:String})) -- IF picked
    ),
    ranged AS -- IF ranged
    ( -- IF ranged
        SELECT -- IF ranged
            session_id, -- IF ranged
            began, -- IF ranged
            ended, -- IF ranged
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
            began,
            ended,
            features AS ids, -- IF NOT picked
            times AS at -- IF NOT picked
            arrayMap((feature, app) -> feature GLOBAL IN wanted AND ({app:String} = '' OR app = {app:String}), features, apps) AS passes, -- IF picked
            arrayFilter((feature, pass) -> pass, features, passes) AS ids, -- IF picked
            arrayFilter((time, pass) -> pass, times, passes) AS at -- IF picked
        FROM ranged -- IF ranged
        FROM sessions -- IF NOT ranged
    )
