//! Generations: building the next one beside the serving one, listing, dropping, comparing.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use arc_swap::ArcSwapOption;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use infra::database::ClickHouseConfig;

use crate::config::ProjectorConfig;
use crate::database::Database;
use crate::keep::audit::totals;
use crate::log;
use crate::metrics::Metrics;
use crate::serve::project;
use crate::work::Work;
use tables::verdict::{EVENTS, REJECTIONS, TARGETS};

#[derive(Debug, Args)]
pub struct ReprojectArgs {
    #[command(flatten)]
    pub config: ProjectorConfig,
    /// Drop the old generation once the new one serves.
    #[arg(long)]
    pub drop_old: bool,
}

#[derive(Debug, Args)]
pub struct GenerationsArgs {
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    /// Drop this generation; the serving one is refused.
    #[arg(long, value_name = "N")]
    pub drop: Option<u32>,
    /// Serve this generation instead: the way back after a re-projection.
    #[arg(long, value_name = "N")]
    pub serve: Option<u32>,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    pub one: u32,
    pub other: u32,
}

/// Where the log ended is asked again and again; when reaching it took no longer than this, the new
/// generation has caught up.
const CAUGHT_UP: Duration = Duration::from_secs(3);
/// Running projectors look for another generation every two seconds and then join its group. This
/// process stays until they have, so that the new generation does not fall behind.
const HAND_OVER: Duration = Duration::from_secs(8);

/// Builds the next generation from offset 0 and serves it once it has caught up. A generation that an
/// earlier call left unfinished is gone on with.
///
/// # Errors
/// Kafka or ClickHouse out of reach at the start, tables of another version, views that can't be replaced.
pub async fn reproject(args: &ReprojectArgs, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let config = &args.config;
    config.validate()?;
    // Before anything is made.
    config.judge.load(&config.kafka.topic)?;
    let old = tables::serving(&config.clickhouse)
        .await?
        .context("no generation serves yet: run `projector migrate`")?;
    let newest = tables::list(&config.clickhouse).await?.last().copied().unwrap_or(old);
    let next = if newest > old { newest } else { newest + 1 };
    tables::migrate(&config.clickhouse, next).await?;
    println!("generation {old} serves; building generation {next}. Stop with Ctrl-C, start again to go on.");
    if next == newest {
        println!(
            "Generation {next} was begun before and is gone on with: what is judged already stays as it was judged \
             then. To judge all of it anew, stop, drop it (`projector generations --drop {next}`) and start again."
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
        None => println!("stopped; start again to go on"),
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

/// Waits until the new generation has caught up with the log, and shows how far it is.
async fn build(config: &ProjectorConfig, current: &ArcSwapOption<Work>) -> anyhow::Result<()> {
    let progress = ProgressBar::new(0);
    progress.set_style(ProgressStyle::with_template(
        "{bar:40} {human_pos}/{human_len} offsets, {per_sec}, {eta} left",
    )?);
    let consumer = Arc::new(log::reader(&config.kafka)?);
    let topic = config.kafka.topic.clone();
    loop {
        let started = Instant::now();
        let (consumer, topic) = (Arc::clone(&consumer), topic.clone());
        let bounds = tokio::task::spawn_blocking(move || log::all_bounds(&consumer, &topic)).await??;
        let ends: BTreeMap<i32, u64> =
            bounds.into_iter().map(|(partition, range)| (partition, range.end)).collect();
        progress.set_length(ends.values().sum());
        loop {
            let work = current.load_full();
            let done = work.as_ref().map_or_else(BTreeMap::new, |work| {
                ends.keys().map(|partition| (*partition, work.inserted_to(*partition).unwrap_or(0))).collect()
            });
            progress.set_position(done.values().sum());
            let reached =
                ends.iter().all(|(partition, end)| done.get(partition).copied().unwrap_or(0) >= *end);
            // What was judged before its session's erasure was read must not be shown.
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

/// Lists the generations; drops or serves one if asked.
///
/// # Errors
/// ClickHouse out of reach, a generation that does not exist or serves.
pub async fn list(args: &GenerationsArgs) -> anyhow::Result<()> {
    let clickhouse = &args.clickhouse;
    if let Some(generation) = args.serve {
        known(clickhouse, generation).await?;
        tables::check_version(clickhouse, generation).await?;
        tables::serve(clickhouse, generation).await?;
    }
    if let Some(generation) = args.drop {
        known(clickhouse, generation).await?;
        drop_generation(clickhouse, generation).await?;
    }
    let serving = tables::serving(clickhouse).await?;
    println!("{:>10} {:>14} {:>14} {:>14}", "generation", "offsets", "accepted", "rejected");
    for generation in tables::list(clickhouse).await? {
        let serves = if Some(generation) == serving { "  serves" } else { "" };
        match totals(&Database::new(clickhouse, generation, "")).await {
            Ok(totals) => println!(
                "{generation:>10} {:>14} {:>14} {:>14}{serves}",
                totals.iter().map(|row| row.ledger_rows).sum::<u64>(),
                totals.iter().map(|row| row.accepted).sum::<u64>(),
                totals.iter().map(|row| row.rejected).sum::<u64>(),
            ),
            // As one whose building ended before it had its tables.
            Err(error) => println!("{generation:>10} can't be read: {error}{serves}"),
        }
    }
    Ok(())
}

async fn drop_generation(clickhouse: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    if tables::serving(clickhouse).await? == Some(generation) {
        bail!(
            "generation {generation} serves: serve another one first, by `projector generations --serve N`"
        );
    }
    for database in tables::cluster::databases(clickhouse, generation) {
        let drop = format!("DROP DATABASE IF EXISTS {database}{} SYNC", clickhouse.on_cluster());
        for server in clickhouse.clients() {
            server.query(&drop).execute().await?;
        }
    }
    println!("generation {generation} is dropped");
    Ok(())
}

async fn known(clickhouse: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    let all = tables::list(clickhouse).await?;
    ensure!(all.contains(&generation), "there is no generation {generation}: there are {all:?}");
    Ok(())
}

/// Compares two generations, table by table and partition by partition, as far as both have come.
///
/// # Errors
/// ClickHouse out of reach, a generation that does not exist.
pub async fn compare(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let clickhouse = &args.clickhouse;
    known(clickhouse, args.one).await?;
    known(clickhouse, args.other).await?;
    let one = Database::new(clickhouse, args.one, "");
    let other = Database::new(clickhouse, args.other, "");
    // Both are compared up to the end of the shorter one.
    let ends = |totals: Vec<crate::keep::audit::Totals>| -> BTreeMap<u16, u64> {
        totals.iter().map(|row| (row.partition, row.ledger_last + u64::from(row.ledger_rows > 0))).collect()
    };
    let (ends_of_one, ends_of_other) = (ends(totals(&one).await?), ends(totals(&other).await?));
    let mut different = 0u64;
    let mut compared = 0u64;
    for (target, table) in TARGETS {
        let columns = columns(&one, table).await?;
        for (&partition, &end) in &ends_of_one {
            let to = end.min(ends_of_other.get(&partition).copied().unwrap_or(0));
            // Retention may have come further in one of them.
            let (horizon, of_other) =
                (one.horizon(partition.into()).await?, other.horizon(partition.into()).await?);
            let kept_from = horizon.kept_from.max(of_other.kept_from);
            let from = if matches!(target, EVENTS | REJECTIONS) { kept_from } else { 0 };
            let fingerprint = |database: &Database| {
                let sql = include_str!("generations/compare.sql")
                    .replace("{columns}", &columns)
                    .replace("{table}", table)
                    .replace("{database}", &database.name);
                database
                    .client
                    .query(&sql)
                    .param("partition", partition)
                    .param("from", from)
                    .param("to", to)
                    .fetch_one::<(u64, u64)>()
            };
            let (in_one, in_other) = (fingerprint(&one).await?, fingerprint(&other).await?);
            compared += in_one.0;
            if in_one != in_other {
                different += 1;
                let sql = include_str!("generations/differences.sql")
                    .replace("{columns}", &columns)
                    .replace("{table}", table)
                    .replace("{one}", &one.name)
                    .replace("{other}", &other.name);
                let first: Vec<u64> = one
                    .client
                    .query(&sql)
                    .param("partition", partition)
                    .param("from", from)
                    .param("to", to)
                    .fetch_all()
                    .await?;
                println!(
                    "{table}, partition {partition}: {} rows and {} rows below offset {to}; they differ at {first:?}",
                    in_one.0, in_other.0
                );
            }
        }
    }
    if different == 0 {
        let offsets: u64 = ends_of_one
            .iter()
            .map(|(partition, end)| (*end).min(ends_of_other.get(partition).copied().unwrap_or(0)))
            .sum();
        if offsets == 0 {
            println!(
                "generations {} and {} have no offset in common: there is nothing to compare",
                args.one, args.other
            );
            return Ok(ExitCode::FAILURE);
        }
        println!(
            "generations {} and {} are equal: {compared} rows of {offsets} offsets",
            args.one, args.other
        );
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// All columns of a table, NULLs kept apart from zeros.
async fn columns(database: &Database, table: &str) -> anyhow::Result<String> {
    let columns: Vec<String> = database
            .client
        .query("SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String} ORDER BY position")
        .param("database", &database.name)
        .param("table", table)
        .fetch_all()
        .await?;
    Ok(columns
        .iter()
        .map(|name| format!("assumeNotNull({name}), isNull({name})"))
        .collect::<Vec<_>>()
        .join(", "))
}
