//! Re-projection: builds the next generation beside the serving one, then serves it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwapOption;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::ProjectorConfig;
use crate::log::{Isolation, Reader};
use crate::metrics::Metrics;
use crate::serve::project;
use crate::verbs::generations::drop_generation;
use crate::work::Work;

#[derive(Debug, Args)]
pub struct ReprojectArgs {
    #[command(flatten)]
    pub config: ProjectorConfig,
    /// Drop the old generation once the new one serves.
    #[arg(long)]
    pub drop_old: bool,
}

/// A generation that reaches the log's last known end within this time has caught up. Else the end is asked again.
const CAUGHT_UP: Duration = Duration::from_secs(3);
/// How long this process stays after the new generation serves. Running projectors look for it every two seconds and
/// then join its group: until then, this process keeps it up to date.
const HAND_OVER: Duration = Duration::from_secs(8);

/// Continues a generation that an earlier call left unfinished.
///
/// # Errors
/// Kafka or ClickHouse is out of reach at the start, the tables are of another version, or the views can't be replaced.
pub async fn run(args: &ReprojectArgs, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let config = &args.config;
    config.validate()?;
    // The files are checked before anything is made.
    config.judge.load(&config.kafka.topic)?;
    let old = tables::serving(&config.clickhouse)
        .await?
        .context("no generation serves yet: run `projector migrate`")?;
    let newest = tables::list(&config.clickhouse).await?.last().copied().unwrap_or(old);
    let next = if newest > old { newest } else { newest + 1 };
    tables::migrate(&config.clickhouse, next).await?;
    println!(
        "generation {old} serves; building generation {next}. Stop with Ctrl-C, start again to continue."
    );
    if next == newest {
        println!(
            "Generation {next} was begun before and is continued: its verdicts stay. To judge the whole log again, stop, \
             drop it (`projector generations --drop {next}`) and start again."
        );
    }

    let current = Arc::new(ArcSwapOption::<Work>::empty());
    let metrics = Metrics::new()?;
    let mut shutdown = pin!(shutdown);
    let mut built = None;
    let end = async {
        tokio::select! {
            () = &mut shutdown => {}
            done = build(config, &current) => {
                let served = match done {
                    Ok(()) => tables::serve(&config.clickhouse, next).await,
                    Err(error) => Err(error),
                };
                if served.is_ok() {
                    println!("generation {next} serves now");
                    tokio::time::sleep(HAND_OVER).await;
                }
                built = Some(served);
            }
        }
    };
    project(config, next, &metrics, &current, end).await?;
    match built {
        None => println!("stopped; start again to continue"),
        Some(served) => {
            served?;
            if args.drop_old {
                drop_generation(&config.clickhouse, old).await?;
            } else {
                println!("generation {old} is kept: `projector generations --drop {old}` drops it");
            }
        }
    }
    Ok(())
}

/// Waits until the new generation has caught up with the log. Shows a progress bar.
async fn build(config: &ProjectorConfig, current: &ArcSwapOption<Work>) -> anyhow::Result<()> {
    let progress = ProgressBar::new(0);
    progress.set_style(ProgressStyle::with_template(
        "{bar:40} {human_pos}/{human_len} offsets, {per_sec}, {eta} left",
    )?);
    let log = Arc::new(Reader::new(&config.kafka, Isolation::Committed)?);
    loop {
        let started = Instant::now();
        let log = Arc::clone(&log);
        let bounds = tokio::task::spawn_blocking(move || log.all_bounds()).await??;
        let ends: BTreeMap<i32, u64> =
            bounds.into_iter().map(|(partition, range)| (partition, range.end)).collect();
        progress.set_length(ends.values().sum());
        loop {
            let work = current.load_full();
            let done = work.as_ref().map_or_else(BTreeMap::new, |work| {
                ends.keys()
                    .map(|partition| (*partition, work.progress.inserted_to(*partition).unwrap_or(0)))
                    .collect()
            });
            progress.set_position(done.values().sum());
            let reached =
                ends.iter().all(|(partition, end)| done.get(partition).copied().unwrap_or(0) >= *end);
            // Rows that were judged before the erasure of their session must not be served.
            if reached && work.is_some_and(|work| work.is_erased()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if started.elapsed() < CAUGHT_UP {
            progress.finish_and_clear();
            return Ok(());
        }
    }
}
