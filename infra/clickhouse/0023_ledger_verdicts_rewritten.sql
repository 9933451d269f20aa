/*
Writes the parts anew that are there already. ClickHouse keeps statistics of a column beside it, for its old type,
and refuses any later change of a large part for that: "Type mismatch when building statistics". An UPDATE of
the column alone meets the same fault once the server has been restarted.
*/
ALTER TABLE {database}.ledger
    REWRITE PARTS
    SETTINGS mutations_sync = 2
