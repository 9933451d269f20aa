/*
The verdicts of 0020. An `erased` row has neither session nor time any more, only its event id: so a repeated
event is still found, and whoever asks for an event learns what became of it. `first_offset` of an erased row is
the first record with its event id: its own if it is the first, so that the window of event ids stays exact.
*/
ALTER TABLE {database}.ledger
    MODIFY COLUMN verdict Enum8('accepted' = 1, 'rejected' = 2, 'duplicate' = 3, 'absent' = 4, 'erased' = 5, 'erasure' = 6)
