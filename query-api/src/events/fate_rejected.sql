SELECT app, category, name, CAST(NULL AS Nullable(String)) AS data,
    arrayMap(reason -> (toString(reason.code), reason.pointer, toString(reason.keyword), reason.message),
        rejections.reasons) AS reasons,
    toNullable(toValidUTF8(rejections.raw)) AS raw,
    if(isValidUTF8(rejections.raw), NULL, base64Encode(rejections.raw)) AS raw_base64,
    nullIf(traceparent, '') AS traceparent
FROM rejections
WHERE partition = {partition:UInt16} AND offset = {offset:UInt64}
