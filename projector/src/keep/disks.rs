//! Measures how full ClickHouse's disks are, for deployments that do not watch their servers otherwise.

use std::time::Duration;

use clickhouse::Row;
use futures::future::join_all;
use infra::database::{ClickHouseConfig, SMALL, within};
use serde::Deserialize;

use crate::metrics::Metrics;

/// How long the task waits between two measurements: disks fill slowly.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Row, Deserialize)]
struct Disk {
    server: String,
    name: String,
    free: u64,
    size: u64,
}

pub(crate) async fn watch(config: ClickHouseConfig, metrics: Metrics) {
    // A server that does not answer must not hide the others.
    let servers = config.clients();
    // Object storage reports 16 EiB, so it is left out.
    let sql = format!(
        "SELECT hostName() AS server, name, free_space AS free, total_space AS size FROM {} WHERE NOT is_remote",
        config.of_all_servers("disks")
    );
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let of_each = servers.iter().map(|server| {
            within(SMALL, server.query(&sql).with_setting("skip_unavailable_shards", "1").fetch_all::<Disk>())
        });
        let of_each = join_all(of_each).await;
        // A disk that can't be measured has no series: an old number would say that all is well.
        metrics.disk_free.reset();
        metrics.disk_size.reset();
        for disks in of_each {
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
}
