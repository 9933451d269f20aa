SELECT
    app,
    count() AS events,
    uniqExact(session_id) AS sessions,
    min(timestamp) AS first_seen,
    max(timestamp) AS last_seen
FROM events
WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
    {% include "filter.sql" %}
GROUP BY app
ORDER BY events DESC, app
