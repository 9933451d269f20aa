/* As it was in 0002. */
ALTER TABLE {database}.ledger
    ADD PROJECTION IF NOT EXISTS positions
    (
        SELECT partition, verdict, count(), min(offset), max(offset), sum(offset), max(log_time)
        GROUP BY partition, verdict
    )
