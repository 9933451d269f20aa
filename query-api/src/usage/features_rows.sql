-- As features.sql, for a narrow range: the projection `listed` has the times of each feature in order.
SELECT
    category,
    name,
    count() AS events,
    uniqExact(session_id) AS sessions,
    min(timestamp) AS first_seen,
    max(timestamp) AS last_seen
FROM events
WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
    AND ({app:String} = '' OR app = {app:String})
    AND ({category:String} = '' OR category = {category:String})
    AND ({name:String} = '' OR name = {name:String})
GROUP BY category, name
ORDER BY
    if({by:String} = 'sessions', toInt64(sessions), toInt64(events)) * if({order:String} = 'least', 1, -1),
    category,
    name
LIMIT {limit:UInt32}
