-- The beginning of every question that reads `sequences`: the events of each session that pass the filters,
-- in order, as `ids` and `at`. `everything` is folded before the query runs: without filters only the columns
-- that the question needs are read, and no array is copied.
--
-- A session's newest row is the one with most events. FINAL finds it by comparing all rows with each other; while
-- nearly all of them are in one part (`nearly_merged`), it costs a quarter to look up what sessions the other parts hold,
-- and to leave out all but the newest of their rows. A row is known by its place (hash of its part's name, plus its
-- offset there); events and place are put into one number, which groups and sorts in half the time of a tuple; and sessions
-- are looked up by a hash of four bytes first, in half the time of sixteen: who is found by mistake is alone in its group.
WITH
    {from:DateTime64(6, 'UTC')} AS since,
    {to:DateTime64(6, 'UTC')} AS until,
    since = toDateTime64('1900-01-01', 6, 'UTC') AND until = toDateTime64('2299-12-31', 6, 'UTC')
        AND {app:String} = '' AND {category:String} = '' AND {name:String} = '' AS everything,
    (
        SELECT groupArray(id) FROM features
        WHERE ({category:String} = '' OR category = {category:String})
            AND ({name:String} = '' OR name = {name:String})
    ) AS wanted,
    (SELECT _part FROM sequences GROUP BY _part ORDER BY count() DESC LIMIT 1) AS largest, -- IF nearly_merged
    older AS -- IF nearly_merged
    ( -- IF nearly_merged
        SELECT toUInt64(arrayJoin(arrayPopFront(arrayReverseSort(groupArray( -- IF nearly_merged
            bitShiftLeft(toUInt128(events), 64) + (cityHash64(_part) + _part_offset)))))) -- IF nearly_merged
        FROM sequences -- IF nearly_merged
        PREWHERE toUInt32(cityHash64(session_id)) IN -- IF nearly_merged
            (SELECT toUInt32(cityHash64(session_id)) FROM sequences WHERE _part != largest) -- IF nearly_merged
        GROUP BY session_id -- IF nearly_merged
    ), -- IF nearly_merged
    selected AS
    (
        SELECT
            session_id,
            if(everything, features, arrayFilter((feature, time, app) -> time >= since AND time < until
                AND ({app:String} = '' OR app = {app:String}) AND has(wanted, feature), features, times, apps)) AS ids,
            if(everything, times, arrayFilter((time, feature, app) -> time >= since AND time < until
                AND ({app:String} = '' OR app = {app:String}) AND has(wanted, feature), times, features, apps)) AS at
        FROM sequences FINAL -- IF NOT nearly_merged
        FROM sequences -- IF nearly_merged
        PREWHERE cityHash64(_part) + _part_offset NOT IN older -- IF nearly_merged
    )
