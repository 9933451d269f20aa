SELECT partition, offset, toString(verdict) AS verdict, session_id, toString(app) AS app, timestamp, received_at,
    toInt64(toUnixTimestamp64Milli(log_time)) AS log_time, schema_version
FROM ledger
-- The projection `by_event` has the places alone, so they are looked up first.
WHERE (partition, offset) IN (SELECT partition, offset FROM ledger WHERE event_id = {event_id:UUID})
ORDER BY ledger.log_time, partition, offset
LIMIT 100
