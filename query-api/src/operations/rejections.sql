SELECT
    partition,
    offset,
    event_id,
    session_id,
    app,
    category,
    name,
    received_at,
    toDateTime64(log_time, 6, 'UTC') AS log_time,
    schema_version,
    arrayMap(reason -> (toString(reason.code), reason.pointer, toString(reason.keyword), reason.message),
        rejections.reasons) AS reasons,
    reasons_total,
    toValidUTF8(substring(rejections.raw, 1, 65536)) AS raw,
    if(isValidUTF8(substring(rejections.raw, 1, 65536)), NULL, base64Encode(substring(rejections.raw, 1, 65536)))
        AS raw_base64,
    length(rejections.raw) AS raw_bytes,
    nullIf(traceparent, '') AS traceparent
FROM rejections
WHERE rejections.received_at >= {from:DateTime64(6, 'UTC')} AND rejections.received_at < {to:DateTime64(6, 'UTC')}
    {% include "filter.sql" %}
    AND ({reason:String} = '' OR arrayExists(reason -> reason.code = {reason:String}, rejections.reasons))
    AND (rejections.received_at, partition, offset)
        < ({after_time:DateTime64(6, 'UTC')}, {after_partition:UInt16}, {after_offset:UInt64})
ORDER BY rejections.received_at DESC, partition DESC, offset DESC
LIMIT {limit:UInt32}
