-- Whether the days of a range have so few of all events that they are read sooner one by one, by time, than all of
-- `sequences`: an event costs 87 ns there and 13 here, whatever the range; and distinct sessions take memory.
SELECT sumIf(usage_days.events, day >= {first_day:UInt32} AND day <= {last_day:UInt32})
    < least(sum(usage_days.events) / 8, 10000000)
FROM usage_days
WHERE run IN (SELECT arrayJoin(runs) FROM usage_epoch) AND app = '' AND kind = 0
