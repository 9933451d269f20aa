SELECT runs, partitions, positions, log_time FROM usage_epoch
