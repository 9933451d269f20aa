-- What comes after each use of a feature, column by column. Column n is the feature n events further on, or 0 if the
-- session has ended. A column is the session shifted by n, at the places of the start, so that no lambda captures an
-- array (see paths.sql). A link is one number: its column and two neighbours.
{% include "selected.sql" %}
    , {start:UInt16} AS start,
    {top:UInt32} AS top,
    followed AS
    (
        SELECT {{ "arrayReverse(selected.ids)" if backwards else "selected.ids" }} AS ids
        FROM selected
        WHERE has(selected.ids, start)
    ),
    columns AS
    (
        SELECT
            arrayFilter(id -> id = start, ids) AS column_0
            {% for n in range(1, length) %}
            , arrayFilter((next, id) -> id = start, arrayShiftLeft(ids, {{ n }}), ids) AS column_{{ n }}
            {% endfor %}
        FROM followed
    ),
    links AS
    (
        SELECT arrayJoin(arrayConcat(
            {% for n in range(1, length) %}
            arrayMap((a, b) -> bitShiftLeft(toUInt64({{ n }}), 32) + bitShiftLeft(toUInt64(a), 16) + b,
                column_{{ n - 1 }}, column_{{ n }}){{ "" if loop.last else "," }}
            {% endfor %}
        )) AS link
        FROM columns
    ),
    counted AS
    (
        SELECT
            toUInt8(bitShiftRight(link, 32)) AS column,
            toUInt16(bitAnd(bitShiftRight(link, 16), 65535)) AS a,
            toUInt16(bitAnd(link, 65535)) AS b,
            count() AS count
        FROM links
        WHERE a != 0
        GROUP BY link
    ),
    named AS
    (
        SELECT
            column,
            b = 0 AS is_end,
            (one.category, one.name) AS from,
            (two.category, two.name) AS to,
            count,
            sum(count) OVER (PARTITION BY column, a) AS from_count,
            sum(count) OVER (PARTITION BY column, b) AS to_count
        FROM counted
        LEFT JOIN features AS one ON one.id = a
        LEFT JOIN features AS two ON two.id = b
    ),
    -- The place within the column, from 1 for the most frequent feature; 0 for an end.
    ranked AS
    (
        SELECT
            *,
            dense_rank() OVER (PARTITION BY column ORDER BY from_count DESC, from) AS from_place,
            dense_rank() OVER (PARTITION BY column, is_end ORDER BY to_count DESC, to) * NOT is_end AS to_place
        FROM named
    )
SELECT
    column,
    -- All features that are not named have one rank.
    toUInt32(least(from_place, top + 1)) AS from_rank,
    if(from_place > top, ('', ''), from) AS from_feature,
    toUInt32(least(to_place, top + 1)) AS to_rank,
    if(to_place > top, ('', ''), to) AS to_feature,
    sum(count) AS count,
    toUInt32(max(to_place)) AS last_rank
FROM ranked
GROUP BY column, from_rank, from_feature, to_rank, to_feature
ORDER BY column, count DESC, from_rank, if(to_rank = 0, top + 2, to_rank)
