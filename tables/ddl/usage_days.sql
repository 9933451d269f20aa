/*
Use by day, so that a question about use reads some rows a day instead of every event. A row counts the
events of a day (UTC) by when their session did the same before: `previous` is the day of the session's previous
event of that kind, 0 if there is none. Distinct sessions of any range of whole days, or of any buckets of
days, are then plain sums: of the events whose previous one lies before the range, or in another bucket.
`app` is '' for all applications together. `kind` is what "the same" means: 0 any event, 1 the category, 2 the
feature; `key` is the feature's number, for a category the smallest of its features, else 0.
Days count from 1 = 1900-01-01, a Monday. Rows belong to a run, and only the runs that an epoch names count:
see `usage_epochs`. Later runs correct earlier ones, so `events` may be negative. A table of its own
and not a projection of `events`: what a session did before is nothing that a row of `events` knows.

`totals` is what all days together come to: a question without a range adds up a few rows a feature instead of some
for each of its days.
*/
CREATE TABLE IF NOT EXISTS {database}.usage_days
(
    run UInt64,
    app LowCardinality(String),
    kind UInt8,
    key UInt16,
    day UInt32,
    previous UInt32,
    events Int64,
    first DateTime64(6, 'UTC'),
    last DateTime64(6, 'UTC'),
    PROJECTION totals
    (
        SELECT run, kind, app, key, sum(events), sumIf(events, previous = 0), min(first), max(last)
        GROUP BY run, kind, app, key
    )
)
ENGINE = MergeTree
PARTITION BY run
ORDER BY (kind, app, key, day, previous)
