SELECT app, category, name, reasons, toValidUTF8(raw) AS raw
FROM rejections
WHERE partition = {partition:UInt16} AND offset = {offset:UInt64}
