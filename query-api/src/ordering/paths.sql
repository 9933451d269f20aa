-- Contiguous windows of some features. Each window is packed into one number, with `bits` for a feature and the first
-- feature highest: numbers are grouped much faster than tuples. No lambda captures an array: a captured array is copied
-- for each element, which a long session would not survive.
{% set further = range(2, length + 1) %}
{% set parameters %}step_1{% for n in further %}, step_{{ n }}{% endfor %}{% endset %}
{% set arrays %}steps_1{% for n in further %}, steps_{{ n }}{% endfor %}{% endset %}
{% set wide = length * bits %}
{% set word = "toUInt32" if wide <= 32 else "toUInt64" if wide <= 64 else "toUInt128" if wide <= 128 else "toUInt256" %}
{% include "selected.sql" %}
    , {bits:UInt8} AS bits,
    {length:UInt8} AS length,
    {start:UInt16} AS start,
    {through:UInt16} AS through,
    {end:UInt16} AS end,
    start = 0 AND through = 0 AND end = 0 AS any,
    long_enough AS
    (
        SELECT ids, toInt64(length(ids)) - length + 1 AS windows
        FROM selected
        WHERE length(ids) >= length
            AND (start = 0 OR has(ids, start))
            AND (through = 0 OR has(ids, through))
            AND (end = 0 OR has(ids, end))
    ),
    sliced AS
    (
        SELECT
            arraySlice(ids, 1, windows) AS steps_1
            {% for n in further %}
            , arraySlice(ids, {{ n }}, windows) AS steps_{{ n }}
            {% endfor %}
        FROM long_enough
    ),
    chosen AS
    (
        SELECT
            arrayMap(({{ parameters }}) ->
                {% for n in further %}
                bitOr(bitShiftLeft(
                {% endfor %}
                {{ word }}(step_1)
                {% for n in further %}
                , bits), step_{{ n }})
                {% endfor %}
                , {{ arrays }}) AS all_paths,
            if(any, all_paths, arrayFilter((path, {{ parameters }}) ->
                (start = 0 OR step_1 = start) AND (end = 0 OR step_{{ length }} = end)
                AND (through = 0 OR step_1 = through{% for n in further %} OR step_{{ n }} = through{% endfor %}),
                all_paths, {{ arrays }})) AS paths
        FROM sliced
    ),
    counted AS
    (
        SELECT path, count() AS count, countIf(nth = 1) AS sessions
        FROM chosen
        ARRAY JOIN paths AS path, arrayEnumerateUniq(paths) AS nth
        GROUP BY path
        -- Paths that are tied at the end are ordered by their names below.
        ORDER BY count DESC
        LIMIT {limit:UInt32} WITH TIES
    )
SELECT
    arrayMap(place -> (known.2)[indexOf(known.1,
        toUInt16(bitAnd(bitShiftRight(path, bits * (length - place)), bitShiftLeft(toUInt32(1), bits) - 1)))],
        range(1, length + 1)) AS steps,
    count,
    sessions
FROM counted
CROSS JOIN (SELECT (groupArray(id), groupArray((category, name))) AS known FROM features) AS dictionary
ORDER BY count DESC, steps
LIMIT {limit:UInt32}
