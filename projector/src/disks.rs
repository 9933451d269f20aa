//! How full ClickHouse's disks are: the metrics of a server that nobody else may be watching.

use std::time::Duration;

use clickhouse::Row;
use infra::database::ClickHouseConfig;
use serde::Deserialize;

use crate::metrics::Metrics;

/// Disks fill slowly.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Row, Deserialize)]
struct Disk {
    server: String,
    name: String,
    free: u64,
    size: u64,
}

/// Measures for ever.
pub(crate) async fn watch(config: ClickHouseConfig, metrics: Metrics) {
    // One that does not answer must not hide the others.
    let client = config.client().with_setting("skip_unavailable_shards", "1");
    // Object storage has no end, and says it is 16 EiB.
    let sql = format!(
        "SELECT hostName() AS server, name, free_space AS free, total_space AS size FROM {} WHERE NOT is_remote",
        config.of_all_servers("disks")
    );
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let disks = client.query(&sql).fetch_all::<Disk>().await;
        // What can't be measured has no series: an old number would say that all is well.
        metrics.disk_free.reset();
        metrics.disk_size.reset();
        match disks {
            Ok(disks) => {
                for Disk { server, name, free, size } in disks {
                    metrics.disk_free.with_label_values(&[&server, &name]).set(free as i64);
                    metrics.disk_size.with_label_values(&[&server, &name]).set(size as i64);
                }
            }
            Err(error) => tracing::debug!(%error, "ClickHouse's disks are unknown"),
        }
    }
}
