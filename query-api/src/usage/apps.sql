SELECT
    app,
    count() AS events,
    uniqExact(session_id) AS sessions,
    min(timestamp) AS first_seen,
    max(timestamp) AS last_seen
FROM events
WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
    AND ({app:String} = '' OR app = {app:String})
    AND ({category:String} = '' OR category = {category:String})
    AND ({name:String} = '' OR name = {name:String})
GROUP BY app
ORDER BY events DESC, app
