/*
Where the log was found to be another one than the tables were made from: the topic was made anew, an older copy was
restored, or the brokers lost records that were judged. The newest row of a partition counts:
- `refused`: the record at `offset` is not the one that was judged there, or the log ends before it. Nothing of the
  partition is projected.
- `resolved`: the log is the right one again.
- `accepted`: a person decided that the records from `offset` to `lost_to` are lost (`projector accept-loss`). The tables
  have no rows of theirs any more. `lost` of them were accepted, that is, events.

A projector and `accept-loss` write it; the audit reads it. It is the only table that the log can't bring back.
*/
CREATE TABLE IF NOT EXISTS {database}.log_breaks
(
    partition UInt16,
    at DateTime64(6, 'UTC'),
    state Enum8('refused' = 1, 'resolved' = 2, 'accepted' = 3),
    offset UInt64,
    lost_to UInt64,
    lost UInt64,
    why String
)
ENGINE = MergeTree
ORDER BY (partition, at)
