-- Whether the range has so few of all events that reading them from `events` (87 ns for each event of the range) is
-- quicker than from `sequences` (13 ns for each event that there is). Distinct sessions take memory in `events`, so
-- their number is limited. Without an epoch this is unknown, and false.
SELECT sumIf(usage_days.events, day >= {first_day:UInt32} AND day <= {last_day:UInt32})
    < least(sum(usage_days.events) / 8, 10000000)
FROM usage_days
WHERE run GLOBAL IN (SELECT arrayJoin(runs) FROM usage_epoch) AND app = '' AND kind = 0
