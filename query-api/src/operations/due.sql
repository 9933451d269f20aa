-- If retention is on: the first offset of a partition that is kept, and how many rows there must be from there on.
WITH
    horizon AS (SELECT partition, max(horizons.kept_from) AS kept_from FROM horizons GROUP BY partition),
    (SELECT min(kept_from) FROM horizon) AS first_kept
SELECT partition, kept_from, events, rejections
FROM horizon
LEFT JOIN
(
    SELECT partition, countIf(verdict = 'accepted') AS events, countIf(verdict = 'rejected') AS rejections
    FROM ledger
    GLOBAL INNER JOIN horizon USING (partition)
    WHERE partition GLOBAL IN (SELECT partition FROM horizons) AND offset >= first_kept AND offset >= kept_from
        {% if below %}
        AND partition = {partition:UInt16} AND offset < {end:UInt64}
        {% endif %}
    GROUP BY partition
) AS due USING (partition)
