-- As last_seen.sql, from the days.
WITH counted AS
(
    SELECT
        key,
        sumIf(usage_days.events, day >= {first_day:UInt32} AND day <= {last_day:UInt32}) > 0 AS used,
        max(last) AS last_seen
    FROM usage_days
    WHERE run IN {runs:Array(UInt64)} AND kind = 2 AND app = {app:String}
    GROUP BY key
    HAVING sum(usage_days.events) > 0
)
SELECT category, name, used, last_seen
FROM counted
INNER JOIN features ON features.id = counted.key
WHERE ({category:String} = '' OR category = {category:String})
    AND ({name:String} = '' OR name = {name:String})
