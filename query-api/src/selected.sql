-- The beginning of every question that reads `sequences`: the events of each session that pass the filters,
-- in order, as `ids` and `at`. `everything` is folded before the query runs: without filters only the columns
-- that the question needs are read, and no array is copied.
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
    selected AS
    (
        SELECT
            session_id,
            if(everything, features, arrayFilter((feature, time, app) -> time >= since AND time < until
                AND ({app:String} = '' OR app = {app:String}) AND has(wanted, feature), features, times, apps)) AS ids,
            if(everything, times, arrayFilter((time, feature, app) -> time >= since AND time < until
                AND ({app:String} = '' OR app = {app:String}) AND has(wanted, feature), times, features, apps)) AS at
        FROM sequences FINAL
    )
