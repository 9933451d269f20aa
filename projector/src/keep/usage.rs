//! Keeps `usage_days` up to date: how often each feature was used by day, and by how many sessions.
//!
//! What is added is the difference that a stretch of the log makes: for the sessions that it touched, what their
//! events below its end count, less what those below its start counted. Both are read from `events`, so the
//! same stretch always makes the same difference, and it counts from the moment that an epoch names it.
//! What changes below the positions (a healed range, an erased session) withdraws all epochs; the next
//! one counts everything anew, and answers come from `sequences` until then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clickhouse::Client;
use futures::future::try_join_all;

use crate::keep::epochs::{forget, new_run, newest, publish, withdraw};
use crate::keep::{Positions, sequences};
use crate::servers::Servers;
use crate::work::Work;

/// Between two looks. A look that finds something makes two small inserts.
const PAUSE: Duration = Duration::from_secs(10);
/// Between two looks whether the days hold what they claim.
const VERIFY: Duration = Duration::from_secs(3600);
/// Offsets whose sessions are looked up one by one; more are counted by reading everything.
const STRETCH: u64 = 1_000_000;
/// Runs that are folded into one: a question adds them up.
const RUNS: usize = 8;
/// A run that no epoch names for so long is read by no question any more.
const KEPT: Duration = Duration::from_secs(3600);
/// What a count may use.
const MEMORY: &str = "2000000000";

/// What a look did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// The days include all that `sequences` does.
    Nothing,
    /// So many offsets more.
    Stretch(u64),
    /// All of the log, anew.
    Everything,
}

/// Brings the days up to what `sequences` includes again and again, until it is dropped.
pub(crate) async fn watch(work: Arc<Work>) {
    let servers = work.database.servers();
    let mut verified: Option<Instant> = None;
    loop {
        // One of several projectors is enough, and partition 0 is one projector's.
        if work.progress.confirmed().contains_key(&0) {
            if verified.is_none_or(|at| at.elapsed() > VERIFY) {
                match verify(&servers).await {
                    Ok(()) => verified = Some(Instant::now()),
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "the days of use were not verified");
                    }
                }
            }
            match refresh(&servers).await {
                Ok(Counted::Nothing) => {}
                Ok(counted) => tracing::debug!(?counted, "days of use refreshed"),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the days of use stay as they are for now");
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One look: includes all that `sequences` includes by now.
///
/// # Errors
/// ClickHouse does not answer. What was done stays right.
pub async fn refresh(servers: &Servers) -> anyhow::Result<Counted> {
    let made = servers.made().await?;
    let client = servers.first();
    // In this order: an epoch that is withdrawn from here on names a count that this one does not.
    let withdrawn: u64 =
        client.query_raw("SELECT count() FROM usage_epochs WHERE empty(runs)").fetch_one().await?;
    let ends = sequences::included(servers).await?;
    let epoch = newest(client).await?;
    let known: Positions = epoch
        .iter()
        .flat_map(|epoch| epoch.partitions.iter().copied().zip(epoch.positions.iter().copied()))
        .collect();
    let start = |partition: &u16| known.get(partition).copied().unwrap_or(0);
    // A position that went back means that the sequences are being built anew.
    if known.iter().any(|(partition, start)| ends.get(partition).is_none_or(|end| end < start)) {
        return Ok(Counted::Nothing);
    }
    let offsets: u64 = ends.iter().map(|(partition, end)| end - start(partition)).sum();
    if offsets == 0 {
        return Ok(Counted::Nothing);
    }
    let runs = epoch.map(|epoch| epoch.runs).unwrap_or_default();
    let everything = runs.is_empty() || offsets > STRETCH;
    let run = new_run();
    let sql = servers.sql(&sequences::with_touched(include_str!("usage/count.sql")));
    let starts = ends.keys().map(|partition| if everything { 0 } else { start(partition) });
    let starts = starts.collect::<Vec<_>>();
    // Each server its own sessions.
    let count = |server: &Client| {
        server
            .query_raw(&sql)
            .param("run", run)
            .param("everything", everything)
            .param("partitions", ends.keys().copied().collect::<Vec<_>>())
            .param("starts", &starts)
            .param("ends", ends.values().copied().collect::<Vec<_>>())
            .with_setting("max_memory_usage", MEMORY)
            // Well above what the sessions at work take: groups are few, and would be written out a hundred times.
            .with_setting("max_bytes_before_external_group_by", "1400000000")
            .execute()
    };
    try_join_all(servers.each().iter().map(count)).await.context("usage_days")?;
    let mut runs = if everything { Vec::new() } else { runs };
    runs.push(run);
    ensure!(servers.made().await? == made, "tables were made anew meanwhile");
    publish(servers, run, &runs, &ends, withdrawn).await?;
    if runs.len() > RUNS {
        let folded = new_run();
        let fold = |server: &Client| {
            let fold = server.query_raw(include_str!("usage/fold.sql"));
            fold.param("run", folded).param("runs", &runs).with_setting("max_memory_usage", MEMORY).execute()
        };
        try_join_all(servers.each().iter().map(fold)).await.context("usage_days")?;
        runs = vec![folded];
        publish(servers, folded, &runs, &ends, withdrawn).await?;
    }
    if runs.len() == 1 {
        forget(servers, KEPT).await?;
    }
    Ok(if everything { Counted::Everything } else { Counted::Stretch(offsets) })
}

/// Looks whether the days count as many events as there are, and withdraws them otherwise.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn verify(servers: &Servers) -> anyhow::Result<()> {
    let client = servers.first();
    let Some(epoch) = newest(client).await? else { return Ok(()) };
    let counted: i64 = client
        .query_raw(&servers.sql(
            "SELECT sum(events) FROM {all}.usage_days WHERE run IN ({runs:Array(UInt64)}) AND kind = 0 AND app = ''",
        ))
        .param("runs", &epoch.runs)
        .fetch_one()
        .await?;
    let events: i64 = client
        .query_raw(&servers.sql(
            "SELECT toInt64(count()) FROM {all}.events WHERE offset < transform(partition, \
             {partitions:Array(UInt16)}, {positions:Array(UInt64)}, toUInt64(0))",
        ))
        .param("partitions", &epoch.partitions)
        .param("positions", &epoch.positions)
        .fetch_one()
        .await?;
    if counted != events {
        tracing::warn!(counted, events, "the days of use do not count what is there: counting anew");
        withdraw(servers).await?;
    }
    Ok(())
}
