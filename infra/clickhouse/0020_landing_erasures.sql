/*
Two more verdicts: `erasure` is a record that asks to erase a session, `erased` one of a session that is
erased. A fourth bit of `targets`, 8 = erasures; the row of an erasure carries the session's hash in `raw`.
*/
ALTER TABLE {database}.landing
    MODIFY COLUMN verdict Enum8('accepted' = 1, 'rejected' = 2, 'duplicate' = 3, 'absent' = 4, 'erased' = 5, 'erasure' = 6)
