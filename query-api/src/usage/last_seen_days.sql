-- Like last_seen.sql, from the days.
{% include "usage/days.sql" %}
    , counted AS
    (
        SELECT
            key,
            {% if ranged %}
            sumIf(days.events, day >= {first_day:UInt32} AND day <= {last_day:UInt32}) > 0 AS used,
            {% else %}
            true AS used,
            {% endif %}
            max(last) AS last_seen
        FROM days
        WHERE app = {app:String}
        GROUP BY key
        HAVING sum(days.events) > 0
    )
SELECT category, name, used, last_seen
FROM counted
INNER JOIN features ON features.id = counted.key
-- As in features_days.sql.
SETTINGS enable_join_runtime_filters = 0, query_plan_join_swap_table = 'false'
