-- The beginning of every question that reads `sequences`: the events of each session that pass the filters,
-- in order, as `ids` and `at`. Without filters only the columns that the question needs are read, and no array is copied.
--
-- A session's newest row is the one with most events. FINAL finds it by comparing all rows with each other; while
-- nearly all of them are in one part (`nearly_merged`), it costs a quarter to look up what sessions the other parts hold,
-- and to leave out all but the newest of their rows (more, if the `largest` part was merged meanwhile). A row is known by
-- its place (hash of its part's name, plus its offset there); events and place are put into one number, which groups and
-- sorts in half the time of a tuple; and sessions are looked up by a hash of four bytes first, in half the time of sixteen:
-- who is found by mistake is alone in its group.
WITH
    {from:DateTime64(6, 'UTC')} AS since, -- IF filtered
    {to:DateTime64(6, 'UTC')} AS until, -- IF filtered
    ( -- IF filtered
        SELECT groupArray(id) FROM features -- IF filtered
        WHERE ({category:String} = '' OR category = {category:String}) -- IF filtered
            AND ({name:String} = '' OR name = {name:String}) -- IF filtered
    ) AS wanted, -- IF filtered
    older AS -- IF nearly_merged
    ( -- IF nearly_merged
        SELECT toUInt64(arrayJoin(arrayPopFront(arrayReverseSort(groupArray( -- IF nearly_merged
            bitShiftLeft(toUInt128(events), 64) + (cityHash64(_part) + _part_offset)))))) -- IF nearly_merged
        FROM sequences -- IF nearly_merged
        PREWHERE toUInt32(cityHash64(session_id)) IN -- IF nearly_merged
            (SELECT toUInt32(cityHash64(session_id)) FROM sequences WHERE _part != {largest:String}) -- IF nearly_merged
        GROUP BY session_id -- IF nearly_merged
    ), -- IF nearly_merged
    selected AS
    (
        SELECT
            session_id,
            features AS ids, -- IF NOT filtered
            times AS at -- IF NOT filtered
            arrayFilter((feature, time, app) -> time >= since AND time < until AND ({app:String} = '' OR app = {app:String}) -- IF filtered
                AND has(wanted, feature), features, times, apps) AS ids, -- IF filtered
            arrayFilter((time, feature, app) -> time >= since AND time < until AND ({app:String} = '' OR app = {app:String}) -- IF filtered
                AND has(wanted, feature), times, features, apps) AS at -- IF filtered
        FROM sequences FINAL -- IF NOT nearly_merged
        FROM sequences -- IF nearly_merged
        PREWHERE cityHash64(_part) + _part_offset NOT IN older -- IF nearly_merged
    )
