-- The keys of the page come from the projection `by_feature`; the rows then by primary key.
SELECT event_id, session_id, timestamp, app, category, name, data, partition, offset, received_at, sent_at,
    schema_version, nullIf(traceparent, '') AS traceparent
FROM events
WHERE (session_id, timestamp, partition, offset) IN
(
    SELECT session_id, timestamp, partition, offset
    FROM events
    WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
        AND timestamp <= {after_time:DateTime64(6, 'UTC')}
        AND ({start:Bool} OR (timestamp, partition, offset)
            < ({after_time:DateTime64(6, 'UTC')}, {after_partition:UInt16}, {after_offset:UInt64}))
        AND ({app:String} = '' OR app = {app:String})
        AND ({category:String} = '' OR category = {category:String})
        AND ({name:String} = '' OR name = {name:String})
        AND ({session_id:String} = '' OR session_id = toUUIDOrZero({session_id:String}))
    ORDER BY timestamp DESC, partition DESC, offset DESC
    LIMIT {limit:UInt32}
)
ORDER BY timestamp DESC, partition DESC, offset DESC
