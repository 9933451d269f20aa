-- Session by session, each in its order. This is the order of the table, so nothing is sorted or kept in memory.
SELECT event_id, session_id, timestamp, app, category, name, data, partition, offset, received_at, sent_at,
    schema_version, nullIf(traceparent, '') AS traceparent
FROM events
WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
    {% include "filter.sql" %}
    AND ({session_id:String} = '' OR session_id = toUUIDOrZero({session_id:String}))
ORDER BY events.session_id, events.timestamp, events.partition, events.offset
