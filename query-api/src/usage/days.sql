-- The beginning of every question that reads `usage_days`: the rows of one kind in the runs of an epoch. A category has
-- the number of one of its features, so a list of features finds it, too.
WITH days AS
(
    SELECT app, key, day, previous, usage_days.events AS events, first, last
    FROM usage_days
    WHERE run IN {runs:Array(UInt64)} AND kind = {kind:UInt8}
        {% if of_features %}
        AND key GLOBAL IN (
            {% include "wanted.sql" %}
        )
        {% endif %}
)
