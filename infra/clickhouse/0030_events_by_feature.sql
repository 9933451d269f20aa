/*
`by_feature` finds the keys of a page of the list of events, also of a feature that is rarely used; the page is
then read by primary key. Features are few beside events, so a range of time is found in it, too, as a stretch
of each feature.
*/
ALTER TABLE {database}.events ADD PROJECTION IF NOT EXISTS by_feature
(
    SELECT category, name, timestamp, partition, offset, session_id, app
    ORDER BY category, name, timestamp, partition, offset
)
