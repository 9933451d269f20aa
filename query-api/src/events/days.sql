-- The nearest day, counted from `nearest`, by which there are enough events for a page. `step` is -1 towards older days
-- and 1 towards newer ones.
SELECT day
FROM
(
    SELECT toInt64(day) AS day, sum(sum(usage_days.events)) OVER (ORDER BY day * {step:Int64}) AS so_far
    FROM usage_days
    WHERE run GLOBAL IN (SELECT arrayJoin(runs) FROM usage_epoch)
        AND app = {app:String}
        AND kind = {{ 2 if of_features else 0 }}
        {% if of_features %}
        AND key GLOBAL IN (
            {% include "wanted.sql" %}
        )
        {% endif %}
        AND day * {step:Int64} >= {nearest:Int64} * {step:Int64}
    GROUP BY day
)
WHERE so_far >= {limit:UInt32}
ORDER BY day * {step:Int64}
LIMIT 1
