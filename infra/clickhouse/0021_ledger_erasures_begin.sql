/* A column that a projection groups by can't be changed: the projection goes, and comes back with 0028. */
ALTER TABLE {database}.ledger
    DROP PROJECTION IF EXISTS positions
