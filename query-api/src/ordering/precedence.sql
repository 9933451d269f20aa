-- The features of a session in the order of their first use, each paired with all later ones.
{% include "selected.sql" %}
    , firsts AS
    (
        SELECT arrayDistinct(ids) AS firsts FROM selected
    ),
    pairs AS
    (
        -- TRICKY: the captured array is copied for each of its elements; distinct features are few.
        SELECT arrayJoin(arrayFlatten(arrayMap(
            (a, nth) -> arrayMap(b -> bitShiftLeft(toUInt32(a), 16) + b, arraySlice(firsts, nth + 1)),
            firsts, arrayEnumerate(firsts)))) AS pair
        FROM firsts
    ),
    ordered AS
    (
        SELECT toUInt16(bitShiftRight(pair, 16)) AS a, toUInt16(bitAnd(pair, 65535)) AS b, count() AS sessions
        FROM pairs
        GROUP BY pair
    ),
    counted AS
    (
        SELECT a, b, sessions, sum(sessions) OVER (PARTITION BY least(a, b), greatest(a, b)) AS both
        FROM ordered
    )
SELECT
    (one.category, one.name) AS first,
    (two.category, two.name) AS then,
    sessions,
    both
FROM counted
INNER JOIN features AS one ON one.id = a
INNER JOIN features AS two ON two.id = b
ORDER BY sessions DESC, first, then
LIMIT {limit:UInt32}
