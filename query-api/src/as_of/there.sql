-- Which of these rows are in their tables.
SELECT toInt8(1) AS verdict, partition, offset
FROM events
WHERE (partition, offset) IN
(
    SELECT arrayJoin(arrayZip({accepted_partitions:Array(UInt16)}, {accepted_offsets:Array(UInt64)}))
)
UNION ALL
SELECT toInt8(2), partition, offset
FROM rejections
WHERE (partition, offset) IN
(
    SELECT arrayJoin(arrayZip({rejected_partitions:Array(UInt16)}, {rejected_offsets:Array(UInt64)}))
)
