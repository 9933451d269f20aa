/*
What `by_feature` did, and where each row is in its part: the rows of a page are read from there, instead of looking
for their keys in every part.
*/
ALTER TABLE {database}.events ADD PROJECTION IF NOT EXISTS listed
(
    SELECT category, name, timestamp, partition, offset, session_id, app, _part_offset
    ORDER BY category, name, timestamp, partition, offset
)
