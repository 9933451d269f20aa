SELECT event_id, session_id, timestamp, app, category, name, data, partition, offset, received_at, sent_at,
    schema_version
FROM events
WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
    AND ({app:String} = '' OR app = {app:String})
    AND ({category:String} = '' OR category = {category:String})
    AND ({name:String} = '' OR name = {name:String})
    AND ({session_id:String} = '' OR session_id = toUUIDOrZero({session_id:String}))
    AND if({order:String} = 'newest',
        (timestamp, partition, offset)
            < ({after_time:DateTime64(6, 'UTC')}, {after_partition:UInt16}, {after_offset:UInt64}),
        (timestamp, partition, offset)
            > ({after_time:DateTime64(6, 'UTC')}, {after_partition:UInt16}, {after_offset:UInt64}))
ORDER BY
    if({order:String} = 'newest', -1, 1) * toUnixTimestamp64Micro(timestamp),
    if({order:String} = 'newest', -1, 1) * toInt32(partition),
    if({order:String} = 'newest', -1, 1) * toInt64(offset)
LIMIT {limit:UInt32}
