SELECT partition, sum(events) AS events, sum(rejections) AS rejections, sum(erasures) AS erasures
FROM
(
    SELECT partition, count() AS events, 0 AS rejections, 0 AS erasures
    FROM events
    {% if below %}
    WHERE partition = {partition:UInt16} AND offset < {end:UInt64}
    {% endif %}
    GROUP BY partition
    UNION ALL
    SELECT partition, 0 AS events, count() AS rejections, 0 AS erasures
    FROM rejections
    {% if below %}
    WHERE partition = {partition:UInt16} AND offset < {end:UInt64}
    {% endif %}
    GROUP BY partition
    UNION ALL
    SELECT partition, 0 AS events, 0 AS rejections, count() AS erasures
    FROM erasures
    {% if below %}
    WHERE partition = {partition:UInt16} AND offset < {end:UInt64}
    {% endif %}
    GROUP BY partition
)
GROUP BY partition
