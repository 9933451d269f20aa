-- The event at a place of each session, counted from its start (1, 2, ..) or from its end (-1, -2, ..). The filters do
-- not move the place: an event counts if it passes them itself.
{% include "selected.sql" %}
    , counted AS
    (
        SELECT sessions.features[{place:Int32}] AS id, count() AS sessions
        FROM sessions
        WHERE length(sessions.features) >= abs({place:Int32})
            {% if ranged %}
            AND times[{place:Int32}] >= since AND times[{place:Int32}] < until
            {% endif %}
            {% if picked %}
            AND id GLOBAL IN wanted AND ({app:String} = '' OR apps[{place:Int32}] = {app:String})
            {% endif %}
        GROUP BY id
    )
SELECT category, name, sessions
FROM counted
INNER JOIN features ON features.id = counted.id
ORDER BY sessions DESC, category, name
LIMIT {limit:UInt32}
