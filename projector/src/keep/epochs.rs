//! An epoch names the runs of `usage_days` that are valid, and how much of the log they count.
//!
//! A task that changes rows below the positions (healing, erasure) withdraws all epochs.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use clickhouse::{Client, Row};
use serde::Deserialize;

use crate::keep::Positions;
use crate::servers::Servers;

#[derive(Debug, Row, Deserialize)]
pub(crate) struct Epoch {
    pub runs: Vec<u64>,
    pub partitions: Vec<u16>,
    pub positions: Vec<u64>,
}

/// Withdraws every epoch, because events below its positions were added, changed or deleted. Call it after the change:
/// the query API also counts withdrawals, to tell whether an older answer is still right.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn withdraw(servers: &Servers) -> anyhow::Result<()> {
    let withdrawal = "INSERT INTO usage_epochs (epoch) VALUES ({run:UInt64})";
    servers.first().query_raw(withdrawal).param("run", new_run()).execute().await.context("usage_epochs")
}

pub(crate) async fn newest(client: &Client) -> anyhow::Result<Option<Epoch>> {
    client
        .query_raw("SELECT runs, partitions, positions FROM usage_epoch")
        .fetch_optional()
        .await
        .context("usage_epochs")
}

pub(crate) async fn publish(
    servers: &Servers,
    epoch: u64,
    runs: &[u64],
    ends: &Positions,
    withdrawn: u64,
) -> anyhow::Result<()> {
    servers
        .first()
        .query_raw(&servers.sql(include_str!("epochs/publish.sql")))
        .param("run", epoch)
        .param("runs", runs)
        .param("partitions", ends.keys().copied().collect::<Vec<_>>())
        .param("positions", ends.values().copied().collect::<Vec<_>>())
        .param("withdrawn", withdrawn)
        .execute()
        .await
        .context("usage_epochs")
}

/// Drops the epochs that are older than `kept`, because no question reads them any more. Drops the runs that no other
/// epoch names.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn forget(servers: &Servers, kept: Duration) -> anyhow::Result<()> {
    let client = servers.first();
    let Some(Epoch { runs, .. }) = newest(client).await? else { return Ok(()) };
    let before = new_run() - kept.as_micros() as u64;
    client
        .query_raw(
            "ALTER TABLE usage_epochs DELETE WHERE notEmpty(runs) AND epoch < {before:UInt64} \
             AND NOT hasAll({runs:Array(UInt64)}, runs) SETTINGS mutations_sync = 1",
        )
        .param("before", before)
        .param("runs", &runs)
        .execute()
        .await
        .context("usage_epochs")?;
    let named: Vec<u64> = client
        .query_raw("SELECT DISTINCT arrayJoin(runs) FROM usage_epochs")
        .fetch_all()
        .await
        .context("usage_epochs")?;
    for server in servers.each() {
        let unnamed: Vec<u64> = server
            .query_raw(
                "SELECT DISTINCT toUInt64(partition) AS run FROM system.parts \
                 WHERE database = currentDatabase() AND table = 'usage_days' AND active \
                 AND run < {before:UInt64} AND NOT has({named:Array(UInt64)}, run)",
            )
            .param("before", before)
            .param("named", &named)
            .fetch_all()
            .await
            .context("usage_days")?;
        for run in unnamed {
            let drop = format!("ALTER TABLE usage_days DROP PARTITION {run}");
            server.query_raw(&drop).execute().await.context("usage_days")?;
        }
    }
    Ok(())
}

/// A number that no run has: microseconds since 1970. Only two projectors that both own a partition could take the same
/// number in the same microsecond.
pub(crate) fn new_run() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
