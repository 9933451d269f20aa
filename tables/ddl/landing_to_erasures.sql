/* Bit 8 of `targets`: the requests to erase. */
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.landing_to_erasures TO {database}.erasures AS
SELECT partition, offset, toFixedString(raw, 32) AS session, log_time
FROM {database}.landing
WHERE bitTest(targets, 3)
