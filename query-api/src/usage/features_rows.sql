-- Like features.sql, for a narrow range: the projection `listed` has the times of each feature in order.
WITH counted AS
(
    SELECT
        category,
        name,
        count() AS events,
        uniqExactState(session_id) AS ids,
        min(timestamp) AS first_seen,
        max(timestamp) AS last_seen
    FROM events
    WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
        {% include "filter.sql" %}
    GROUP BY category, name
)
SELECT
    category,
    name,
    events,
    finalizeAggregation(ids) AS sessions,
    first_seen,
    last_seen,
    sum(events) OVER () AS all_events,
    uniqExactMerge(ids) OVER () AS all_sessions
FROM counted
ORDER BY
    if({by:String} = 'sessions', toInt64(sessions), toInt64(events)) * if({order:String} = 'least', 1, -1),
    category,
    name
LIMIT {limit:UInt32}
