/*
What all days together come to: a question without a range adds up a few rows a feature instead of some for each of its
days.
*/
ALTER TABLE {database}.usage_days ADD PROJECTION IF NOT EXISTS totals
(
    SELECT run, kind, app, key, sum(events), sumIf(events, previous = 0), min(first), max(last)
    GROUP BY run, kind, app, key
)
