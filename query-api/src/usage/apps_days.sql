SELECT
    app,
    toUInt64(sum(days.events)) AS events,
    toUInt64(sumIf(days.events, previous < {first_day:UInt32})) AS sessions,
    min(first) AS first_seen,
    max(last) AS last_seen
FROM days
WHERE app != '' AND ({app:String} = '' OR app = {app:String})
    AND day >= {first_day:UInt32} AND day <= {last_day:UInt32}
GROUP BY app
HAVING events > 0
ORDER BY events DESC, app
