-- The beginning of every question that reads `usage_days`: the rows of some kinds in the runs of an epoch. A category
-- has the number of one of its features, so a list of features finds it, too. A question that is `adding` counts what
-- came after the epoch by itself, as a pass would.
WITH days AS
(
    SELECT app, kind, key, day, previous, usage_days.events AS events, first, last
    {% if adding %}
    FROM
    (
        SELECT app, kind, key, day, previous, events, first, last
        FROM usage_days
        WHERE run IN {runs:Array(UInt64)}
        UNION ALL SELECT app, kind, key, day, previous, events, first, last
        FROM
        (
            {% include "derived/usage_days.sql" %}
        )
    ) AS usage_days
    WHERE kind IN {kinds:Array(UInt8)}
    {% else %}
    FROM usage_days
    WHERE run IN {runs:Array(UInt64)} AND kind IN {kinds:Array(UInt8)}
    {% endif %}
        {% if of_features %}
        AND key GLOBAL IN (
            {% include "wanted.sql" %}
        )
        {% endif %}
)
