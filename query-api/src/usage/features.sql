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
    if({by:String} = 'sessions', sessions, events) * if({order:String} = 'least', 1, -1) ASC,
    category,
    name
LIMIT {limit:UInt32}
