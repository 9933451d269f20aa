-- For each feature: whether it was used in the range, and when it was last used at all (by the app, if one is given).
SELECT
    category,
    name,
    countIf(timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}) > 0 AS used,
    max(timestamp) AS last_seen
FROM events
WHERE true
    {% include "filter.sql" %}
GROUP BY category, name
