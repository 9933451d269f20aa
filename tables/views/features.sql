/* The features that were ever used. `id` is the number of a feature in `sequences`. */
CREATE OR REPLACE VIEW {views}.features DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT id, category, name
FROM {database}.features
