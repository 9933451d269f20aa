-- The beginning of every question that reads `sequences`: the events of each session that pass the filters,
-- in order, as `ids` and `at`. `everything` is folded before the query runs: without filters only the columns
-- that the question needs are read, and no array is copied.
--
-- A session's newest row is the one with most events. FINAL finds it by comparing all rows with each other; while
-- nearly all of them are in one part (`nearly_merged`), it costs a quarter to look up what sessions the other parts hold,
-- and to leave their older rows out, each by its part and place there.
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
    (SELECT groupArray(part) FROM (SELECT _part AS part FROM sequences GROUP BY part ORDER BY count() DESC)) AS parts, -- IF nearly_merged
    older AS -- IF nearly_merged
    ( -- IF nearly_merged
        SELECT arrayJoin(arrayPopFront(arrayReverseSort(groupArray((events, -- IF nearly_merged
            bitShiftLeft(toUInt64(transform(_part, parts, arrayEnumerate(parts), 0)), 40) + _part_offset))))).2 -- IF nearly_merged
        FROM sequences -- IF nearly_merged
        PREWHERE session_id IN (SELECT session_id FROM sequences WHERE _part != parts[1]) -- IF nearly_merged
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
        PREWHERE bitShiftLeft(toUInt64(transform(_part, parts, arrayEnumerate(parts), 0)), 40) + _part_offset NOT IN older -- IF nearly_merged
    )
