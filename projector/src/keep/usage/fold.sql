-- Folds several runs into one.
INSERT INTO usage_days (run, app, kind, key, day, previous, events, first, last)
SELECT {run:UInt64}, app, kind, key, day, previous, sum(usage_days.events) AS counted, min(usage_days.first), max(usage_days.last)
FROM usage_days
WHERE usage_days.run IN ({runs:Array(UInt64)})
GROUP BY app, kind, key, day, previous
HAVING counted != 0
-- Leaves a core to the inserts.
SETTINGS max_threads = 1
