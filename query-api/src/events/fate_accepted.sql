SELECT app, category, name, data, nullIf(traceparent, '') AS traceparent
FROM events
WHERE session_id = {session_id:UUID} AND timestamp = {timestamp:DateTime64(6, 'UTC')}
    AND partition = {partition:UInt16} AND offset = {offset:UInt64}
-- As in session.sql.
SETTINGS optimize_use_projections = 0
