/* For the rows that are there already. */
ALTER TABLE {database}.ledger
    MATERIALIZE PROJECTION positions
