-- The same columns as fate_rejected.sql.
SELECT app, category, name, toNullable(events.data) AS data,
    CAST([] AS Array(Tuple(String, String, String, String))) AS reasons,
    CAST(NULL AS Nullable(String)) AS raw, CAST(NULL AS Nullable(String)) AS raw_base64,
    nullIf(traceparent, '') AS traceparent
FROM events
WHERE session_id = {session_id:UUID} AND timestamp = {timestamp:DateTime64(6, 'UTC')}
    AND partition = {partition:UInt16} AND offset = {offset:UInt64}
-- As in session.sql.
SETTINGS optimize_use_projections = 0
