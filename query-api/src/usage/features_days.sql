-- A session counts on the first day of the range on which it used the feature. Without a range, the projection `totals`
-- has the whole answer.
{% include "usage/days.sql" %}
    , counted AS
    (
        SELECT
            key,
            sum(days.events) AS events,
            {% if ranged %}
            sumIf(days.events, previous < {first_day:UInt32}) AS sessions,
            {% else %}
            sumIf(days.events, previous = 0) AS sessions,
            {% endif %}
            min(first) AS first_seen,
            max(last) AS last_seen
        FROM days
        WHERE app = {app:String}
            {% if ranged %}
            AND day >= {first_day:UInt32} AND day <= {last_day:UInt32}
            {% endif %}
        GROUP BY key
    )
SELECT
    category,
    name,
    toUInt64(events) AS events,
    toUInt64(sessions) AS sessions,
    first_seen,
    last_seen,
    -- Sessions of several features are no sum of these: the total is asked for by itself.
    toUInt64(0) AS all_events,
    toUInt64(0) AS all_sessions
FROM counted
INNER JOIN features ON features.id = counted.key
WHERE counted.events > 0
ORDER BY
    if({by:String} = 'sessions', counted.sessions, counted.events) * if({order:String} = 'least', 1, -1),
    category,
    name
LIMIT {limit:UInt32}
-- A few dozen rows are joined: finding out how best to join them takes longer than joining them.
SETTINGS enable_join_runtime_filters = 0, query_plan_join_swap_table = 'false'
