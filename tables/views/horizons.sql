/* The first offset of each partition from which events and rejections are kept. Without retention there is no row. */
CREATE OR REPLACE VIEW {views}.horizons DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT partition, max(horizons.kept_from) AS kept_from
FROM {database}.horizons
GROUP BY partition
