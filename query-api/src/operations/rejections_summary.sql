-- A record with several reasons counts once under each of them.
SELECT
    reason,
    app,
    category,
    name,
    count() AS records,
    min(received_at) AS first_seen,
    max(received_at) AS last_seen
FROM rejections
ARRAY JOIN arrayDistinct(reasons.code) AS reason
WHERE received_at >= {from:DateTime64(6, 'UTC')} AND received_at < {to:DateTime64(6, 'UTC')}
    {% include "filter.sql" %}
    AND ({reason:String} = '' OR reason = {reason:String})
GROUP BY reason, app, category, name
ORDER BY records DESC, reason, app, category, name
LIMIT {limit:UInt32}
