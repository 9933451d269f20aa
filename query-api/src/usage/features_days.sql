-- A session counts on the first day of the range on which it used the feature. Without a range, the projection `totals`
-- has the whole answer.
{% include "usage/days.sql" %}
    , counted AS
    (
        SELECT
            kind,
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
        GROUP BY kind, key
    ),
    -- The events of all features together are of another kind: a session of several features is one session.
    totalled AS
    (
        SELECT
            *,
            sumIf(counted.events, kind = {total:UInt8}) OVER () AS all_events,
            sumIf(counted.sessions, kind = {total:UInt8}) OVER () AS all_sessions
        FROM counted
    )
SELECT
    category,
    name,
    toUInt64(events) AS events,
    toUInt64(sessions) AS sessions,
    first_seen,
    last_seen,
    toUInt64(all_events) AS all_events,
    toUInt64(all_sessions) AS all_sessions
FROM totalled
INNER JOIN features ON features.id = totalled.key
WHERE kind = {kind:UInt8} AND totalled.events > 0
ORDER BY
    if({by:String} = 'sessions', totalled.sessions, totalled.events) * if({order:String} = 'least', 1, -1),
    category,
    name
LIMIT {limit:UInt32}
-- A few dozen rows are joined: finding out how best to join them takes longer than joining them.
SETTINGS enable_join_runtime_filters = 0, query_plan_join_swap_table = 'false'
