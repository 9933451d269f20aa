//! Keeps `usage_days` up to date: for each day, how often a feature was used, and in how many sessions.
//!
//! A run adds the difference that a stretch of the log makes: for the sessions that it touches, the count of their
//! events below its end, less the count of those below its start. Both are read from `events`, so the same stretch
//! always makes the same difference. A run counts once an epoch names it. Healing and erasure withdraw all epochs. The
//! next epoch counts everything again; until then, answers come from `sequences`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clickhouse::Client;
use futures::future::try_join_all;
use tables::derived;

use crate::keep::epochs::{forget, new_run, newest, publish, withdraw};
use crate::keep::{Positions, sequences};
use crate::metrics::Answers;
use crate::servers::Servers;
use crate::work::Work;

/// How long the task waits between two passes. A pass that finds something makes two small inserts. A question adds what
/// no pass has counted yet.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the task waits between two checks that the days of use count what is there.
const VERIFY: Duration = Duration::from_secs(3600);
/// Up to this many offsets, their sessions are looked up one by one; beyond it, everything is read.
const STRETCH: u64 = 1_000_000;
/// More runs than this are folded into one: a question adds them all up.
const RUNS: usize = 8;
/// How long a run is kept after no epoch names it: a question may still read it.
const KEPT: Duration = Duration::from_secs(3600);
/// The most memory of a count on a server, in bytes.
const MEMORY: &str = "2000000000";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// The days of use included all that `sequences` include.
    Nothing,
    /// `sequences` include less than the days: they are being computed from the first offset.
    NotYet,
    /// Added this many offsets.
    Stretch(u64),
    /// Counted the whole log again.
    Everything,
}

pub(crate) async fn watch(work: Arc<Work>) {
    let servers = work.database.servers();
    let mut verified: Option<Instant> = None;
    loop {
        // One projector is enough: the owner of partition 0.
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
                Ok(Counted::NotYet) => {}
                Ok(counted) => {
                    tracing::debug!(?counted, "days of use refreshed");
                    work.metrics.answers_are_fresh(Answers::Use);
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the days of use stay as they are for now");
                }
            }
        } else {
            work.metrics.forget_answers(Answers::Use);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One pass: includes all that `sequences` include by now.
///
/// # Errors
/// ClickHouse does not answer. The finished work stays right.
pub async fn refresh(servers: &Servers) -> anyhow::Result<Counted> {
    let made = servers.made().await?;
    let client = servers.first();
    // Withdrawals are counted first: one that comes later then makes this epoch invalid.
    let withdrawn: u64 =
        client.query_raw("SELECT count() FROM usage_epochs WHERE empty(runs)").fetch_one().await?;
    let ends = sequences::included(servers).await?;
    let epoch = newest(client).await?;
    let known: Positions = epoch
        .iter()
        .flat_map(|epoch| epoch.partitions.iter().copied().zip(epoch.positions.iter().copied()))
        .collect();
    let start = |partition: &u16| known.get(partition).copied().unwrap_or(0);
    // If a position went back, `sequences` are being computed from the first offset.
    if known.iter().any(|(partition, start)| ends.get(partition).is_none_or(|end| end < start)) {
        return Ok(Counted::NotYet);
    }
    let offsets: u64 = ends.iter().map(|(partition, end)| end - start(partition)).sum();
    if offsets == 0 {
        return Ok(Counted::Nothing);
    }
    let runs = epoch.map(|epoch| epoch.runs).unwrap_or_default();
    let everything = runs.is_empty() || offsets > STRETCH;
    let run = new_run();
    let sql = include_str!("usage/pass.sql").replace("{usage_days}", &derived::usage_days(&servers.all()));
    let starts = ends.keys().map(|partition| if everything { 0 } else { start(partition) });
    let starts = starts.collect::<Vec<_>>();
    let count = |server: &Client| {
        server
            .query_raw(&sql)
            .param("run", run)
            .param("everything", everything)
            .param("partitions", ends.keys().copied().collect::<Vec<_>>())
            .param("starts", &starts)
            .param("ends", ends.values().copied().collect::<Vec<_>>())
            .with_setting("max_memory_usage", MEMORY)
            // Well above what the current sessions take: groups are few, and would be written to disk a hundred times.
            .with_setting("max_bytes_before_external_group_by", "1400000000")
            .execute()
    };
    try_join_all(servers.each().iter().map(count)).await.context("usage_days")?;
    let mut runs = if everything { Vec::new() } else { runs };
    runs.push(run);
    ensure!(servers.made().await? == made, "tables were made again meanwhile");
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

/// Checks that the days of use count as many events as there are, and withdraws them otherwise.
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
        tracing::warn!(counted, events, "the days of use do not count what is there: counting again");
        withdraw(servers).await?;
    }
    Ok(())
}
