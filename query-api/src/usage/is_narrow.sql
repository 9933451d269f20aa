-- Whether the days of a range have so few of all events that they are read sooner from `events`, at 87 ns for each in the
-- range, than from `sequences`, at 13 ns for each that there is; distinct sessions take memory there. No epoch, no idea.
SELECT sumIf(usage_days.events, day >= {first_day:UInt32} AND day <= {last_day:UInt32})
    < least(sum(usage_days.events) / 8, 10000000)
FROM usage_days
WHERE run GLOBAL IN (SELECT arrayJoin(runs) FROM usage_epoch) AND app = '' AND kind = 0
