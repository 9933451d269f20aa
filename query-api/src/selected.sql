-- The beginning of every question that reads `sequences`: the events of each session that pass the filters, in order,
-- as `ids` and `at`. The filters do not change `began` and `ended`, the times of the session's first and last event.
-- They do not change the places in `sessions` either, which has all events of each session that may have one in the
-- range.
--
-- Without filters, only the columns that the question needs are read, and no array is copied. A range is a slice,
-- because the times of a session are in order. The other filters look up each event once, for both arrays. The wanted
-- features are a set and not an array: an array that comes from a table is copied for each event (28 s instead of 1 s
-- for a hundred million events).
--
-- A question that is `adding` computes the sessions that the log touched since the last pass by itself, as a pass would,
-- and leaves their rows out.
--
-- The newest row of a session is the one with most events. FINAL finds it by comparing rows, which is quick while it
-- reads no arrays. So FINAL is asked first for the places of the newest rows: it takes 60 ms for three million rows,
-- and 250 ms if it reads all columns. A place is the number of a row in the list of parts, which is the same for all of
-- a statement (`enable_shared_storage_snapshot_in_query`). Tables that are `spread` over several servers have no
-- places.
WITH
    {% if adding %}
    touched AS
    (
        {% include "derived/touched.sql" %}
    ),
    {% endif %}
    {% if not spread %}
    (
        SELECT groupBitmapState(_part_starting_offset + _part_offset)
        FROM sequences FINAL
        {% if adding %}
        WHERE session_id NOT IN touched
        {% endif %}
    ) AS newest,
    {% endif %}
    {% if ranged %}
    {from:DateTime64(6, 'UTC')} AS since,
    {to:DateTime64(6, 'UTC')} AS until,
    {% endif %}
    {% if picked %}
    wanted AS
    (
        {% include "wanted.sql" %}
    ),
    {% endif %}
    kept AS
    (
        SELECT session_id, features, times, apps
        {% if spread %}
        FROM sequences FINAL
        {% if adding %}
        WHERE session_id NOT IN touched
        {% endif %}
        {% else %}
        FROM sequences
        PREWHERE bitmapContains(newest, _part_starting_offset + _part_offset)
        {% endif %}
        {% if adding %}
        UNION ALL SELECT session_id, features, times, apps
        FROM
        (
            {% include "derived/sequences.sql" %}
        )
        {% endif %}
    ),
    sessions AS
    (
        SELECT session_id, features, times, apps, times[1] AS began, times[-1] AS ended
        FROM kept
        WHERE true
            {% if ranged %}
            AND ended >= since AND began < until
            {% endif %}
            {% if picked %}
            AND ({app:String} = '' OR has(apps, {app:String}))
            {% endif %}
    ),
    {% if ranged %}
    ranged AS
    (
        SELECT
            session_id,
            began,
            ended,
            1 + arrayCount(time -> time < since, sessions.times) AS first,
            1 + arrayCount(time -> time < until, sessions.times) - first AS within,
            arraySlice(sessions.features, first, within) AS features,
            arraySlice(sessions.times, first, within) AS times,
            arraySlice(sessions.apps, first, within) AS apps
        FROM sessions
    ),
    {% endif %}
    selected AS
    (
        SELECT
            session_id,
            began,
            ended,
            {% if picked %}
            arrayMap((feature, app) -> feature GLOBAL IN wanted AND ({app:String} = '' OR app = {app:String}),
                features, apps) AS passes,
            arrayFilter((feature, pass) -> pass, features, passes) AS ids,
            arrayFilter((time, pass) -> pass, times, passes) AS at
            {% else %}
            features AS ids,
            times AS at
            {% endif %}
        FROM {{ "ranged" if ranged else "sessions" }}
    )
