/*
Rewrites the verdicts that are there already. ClickHouse keeps statistics of a column beside it, for its old type,
and refuses any later change of a large part for that: "Type mismatch when building statistics".
*/
ALTER TABLE {database}.ledger
    UPDATE verdict = verdict WHERE 1
    SETTINGS mutations_sync = 2
