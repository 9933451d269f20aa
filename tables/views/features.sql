/* The features ever used; `id` is what `sequences` calls them. */
CREATE OR REPLACE VIEW {views}.features DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT id, category, name
FROM {database}.features
