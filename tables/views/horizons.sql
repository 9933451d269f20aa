/* The first offset of each partition of which events and rejections are kept; no row without retention. */
CREATE OR REPLACE VIEW {views}.horizons DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT partition, max(horizons.kept_from) AS kept_from
FROM {database}.horizons
GROUP BY partition
