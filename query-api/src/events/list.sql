-- The projection `listed` knows where the rows of the page are. A place is the number of a row in the list of parts,
-- which is the same for all of a statement (`enable_shared_storage_snapshot_in_query`). A row is found by this one
-- number in a third of the time that part and row number take.
{% set after = "<" if newest else ">" %}
{% set direction = "DESC" if newest else "ASC" %}
SELECT event_id, session_id, timestamp, app, category, name, data, partition, offset, received_at, sent_at,
    schema_version, nullIf(traceparent, '') AS traceparent
FROM events
WHERE _part_starting_offset + _part_offset IN
(
    SELECT _part_starting_offset + _part_offset
    FROM events
    WHERE timestamp >= {from:DateTime64(6, 'UTC')} AND timestamp < {to:DateTime64(6, 'UTC')}
        AND timestamp {{ after }}= {after_time:DateTime64(6, 'UTC')}
        AND ({start:Bool} OR (timestamp, partition, offset)
            {{ after }} ({after_time:DateTime64(6, 'UTC')}, {after_partition:UInt16}, {after_offset:UInt64}))
        {% include "filter.sql" %}
        AND ({session_id:String} = '' OR session_id = toUUIDOrZero({session_id:String}))
    ORDER BY timestamp {{ direction }}, partition {{ direction }}, offset {{ direction }}
    LIMIT {limit:UInt32}
)
ORDER BY timestamp {{ direction }}, partition {{ direction }}, offset {{ direction }}
-- On a cluster each shard finds a page of its own.
LIMIT {limit:UInt32}
