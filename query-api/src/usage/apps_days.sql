SELECT
    app,
    toUInt64(sum(usage_days.events)) AS events,
    toUInt64(sumIf(usage_days.events, previous < {first_day:UInt32})) AS sessions,
    min(first) AS first_seen,
    max(last) AS last_seen
FROM usage_days
WHERE run IN {runs:Array(UInt64)} AND kind = {kind:UInt8}
    AND app != '' AND ({app:String} = '' OR app = {app:String})
    AND key = if({kind:UInt8} = 0, 0, (
        SELECT min(id) FROM features
        WHERE category = {category:String} AND ({name:String} = '' OR name = {name:String})))
    AND day >= {first_day:UInt32} AND day <= {last_day:UInt32}
GROUP BY app
HAVING events > 0
ORDER BY events DESC, app
