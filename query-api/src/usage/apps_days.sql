SELECT
    app,
    toUInt64(sum(days.events)) AS events,
    toUInt64(sumIf(days.events, previous < {first_day:UInt32})) AS sessions, -- IF ranged
    toUInt64(sumIf(days.events, previous = 0)) AS sessions, -- IF NOT ranged
    min(first) AS first_seen,
    max(last) AS last_seen
FROM days
WHERE app != '' AND ({app:String} = '' OR app = {app:String})
    AND day >= {first_day:UInt32} AND day <= {last_day:UInt32} -- IF ranged
GROUP BY app
HAVING events > 0
ORDER BY events DESC, app
