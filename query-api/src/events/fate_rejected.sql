SELECT app, category, name,
    arrayMap(reason -> (toString(reason.code), reason.pointer, toString(reason.keyword), reason.message), rejections.reasons)
        AS reasons,
    toValidUTF8(raw) AS raw,
    nullIf(traceparent, '') AS traceparent
FROM rejections
WHERE partition = {partition:UInt16} AND offset = {offset:UInt64}
