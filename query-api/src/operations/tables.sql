SELECT partition, sum(events) AS events, sum(rejections) AS rejections
FROM
(
    SELECT partition, count() AS events, 0 AS rejections FROM events GROUP BY partition
    UNION ALL
    SELECT partition, 0 AS events, count() AS rejections FROM rejections GROUP BY partition
)
GROUP BY partition
