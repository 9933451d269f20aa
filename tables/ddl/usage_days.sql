/*
Use by day. With it a question about use reads some rows for each day instead of every event.

A row counts the events of one day (UTC), by the day on which their session did the same before:
- `previous` is the day of the session's previous event of that kind, or 0 if there is none. So the distinct sessions
  of a range of whole days, or of buckets of days, are plain sums: of the events whose previous event lies before the
  range, or in another bucket.
- `kind` defines "the same": 0 any event, 1 the category, 2 the feature.
- `key` is the number of the feature; for a category it is the smallest number of its features; otherwise it is 0.
- `app` is empty for all applications together.
- Days count from 1 = 1900-01-01, a Monday.
- `run` is the run that wrote the row. Only the runs that an epoch names count: see `usage_epochs`. Later runs correct
  earlier ones, so `events` may be negative.

This is a table and not a projection of `events`, because a row of `events` does not know what its session did before.

`totals` has the sums of all days: a question without a range adds up a few rows for each feature, instead of some rows
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
