/* The features ever used; `id` is what `sequences` calls them. */
CREATE OR REPLACE VIEW {views}.features AS
SELECT id, category, name
FROM {database}.features
