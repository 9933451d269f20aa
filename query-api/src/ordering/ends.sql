-- The feature at a place of each session, counted from its start (1, 2, ..) or its end (-1, -2, ..).
    , counted AS
    (
        SELECT ids[{place:Int32}] AS id, count() AS sessions
        FROM selected
        WHERE length(ids) >= abs({place:Int32})
        GROUP BY id
    )
SELECT category, name, sessions
FROM counted
INNER JOIN features ON features.id = counted.id
ORDER BY sessions DESC, category, name
LIMIT {limit:UInt32}
