-- A session counts on the day of the range on which it used the feature first. Without a range, the projection
-- `totals` has it all.
    , counted AS
    (
        SELECT
            key,
            sum(days.events) AS events,
            sumIf(days.events, previous < {first_day:UInt32}) AS sessions, -- IF ranged
            sumIf(days.events, previous = 0) AS sessions, -- IF NOT ranged
            min(first) AS first_seen,
            max(last) AS last_seen
        FROM days
        WHERE app = {app:String}
            AND day >= {first_day:UInt32} AND day <= {last_day:UInt32} -- IF ranged
        GROUP BY key
    )
SELECT category, name, toUInt64(events) AS events, toUInt64(sessions) AS sessions, first_seen, last_seen
FROM counted
INNER JOIN features ON features.id = counted.key
WHERE counted.events > 0
ORDER BY
    if({by:String} = 'sessions', counted.sessions, counted.events) * if({order:String} = 'least', 1, -1),
    category,
    name
LIMIT {limit:UInt32}
-- Some dozens of rows are joined: how best to join them takes longer to find out.
SETTINGS enable_join_runtime_filters = 0, query_plan_join_swap_table = 'false'
