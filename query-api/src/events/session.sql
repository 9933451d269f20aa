SELECT event_id, session_id, timestamp, app, category, name, data, partition, offset, received_at, sent_at,
    schema_version, nullIf(traceparent, '') AS traceparent
FROM events
-- Without PREWHERE, ClickHouse reads every column of a granule of each part, also of parts without the session.
PREWHERE session_id = {session_id:UUID}
WHERE ({start:Bool} OR (timestamp, partition, offset)
    > ({after_time:DateTime64(6, 'UTC')}, {after_partition:UInt16}, {after_offset:UInt64}))
ORDER BY session_id, timestamp, partition, offset
LIMIT {limit:UInt32}
-- No projection can help, and finding that out takes a third of the time.
SETTINGS optimize_use_projections = 0
