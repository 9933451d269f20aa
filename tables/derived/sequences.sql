-- The sequences of the sessions that the log touches between {starts} and {ends}, each computed from all of its events.
-- With {everything}, every session is computed and no offset is looked up, because a set of all offsets would not fit
-- into memory.
WITH
    -- TRICKY: one string for the pair, so that `transform` finds it by a hash. The length keeps ('a', 'bc') and ('ab',
    -- 'c') apart. Names and numbers must come from one reading of the table: two readings order the rows differently,
    -- which would swap the numbers.
    (
        SELECT (groupArray(concat(toString(length(category)), ':', category, name)), groupArray(id)) FROM {all}.features
    ) AS known
SELECT
    session_id,
    length(ordered) AS events,
    arrayMap(event -> event.4, ordered) AS features,
    arrayMap(event -> event.1, ordered) AS times,
    arrayMap(event -> event.5, ordered) AS apps
FROM
(
    SELECT
        session_id,
        arraySort(groupArray((
            timestamp,
            partition,
            offset,
            transform(concat(toString(length(category)), ':', category, name), known.1, known.2, toUInt16(0)),
            app))) AS ordered
    FROM events
    WHERE {everything:Bool} OR session_id IN
    (
{touched}    )
    GROUP BY session_id
)
WHERE NOT throwIf(has(features, 0), 'a feature without a number')
