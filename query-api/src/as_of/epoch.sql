SELECT runs, partitions, positions, log_time, assumeNotNull((SELECT count() FROM features)) AS features FROM usage_epoch
