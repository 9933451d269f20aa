//! Checks the tables against the log, and heals them on request.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use infra::kafka::KafkaConfig;

use crate::commit::identity::compare;
use crate::config::ProjectorConfig;
use crate::database::Database;
use crate::error::Error;
use crate::keep::audit::{Audited, Faults, Known, Totals, audit_range, totals};
use crate::keep::erase;
use crate::log::{self, Break, Isolation, Reader};
use crate::metrics::Metrics;
use crate::work::Work;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub config: ProjectorConfig,
    /// Judge faulty ranges of the log again and repair their rows.
    #[arg(long)]
    pub heal: bool,
    /// The generation to audit; by default the serving one.
    #[arg(long, value_name = "N")]
    pub generation: Option<u32>,
}

/// Prints a table. The exit code is 1 if faults remain.
///
/// # Errors
/// Kafka or ClickHouse is out of reach.
pub async fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let config = &args.config;
    config.validate()?;
    let generation = match args.generation {
        Some(generation) => generation,
        None => tables::serving(&config.clickhouse)
            .await?
            .context("no generation serves yet: run `projector migrate`")?,
    };
    tables::check_version(&config.clickhouse, generation).await?;
    let database = Database::new(&config.clickhouse, generation, &config.kafka.topic);
    let judge = config.judge.load(&config.kafka.topic)?;
    let work = Work::new(config.clone(), generation, judge, Metrics::new()?)?;
    if args.heal {
        erase::refresh(&work.erasures, &database).await?;
    }
    let (kafka, group) = (config.kafka.clone(), config.group_of(generation));
    let totals_before = totals(&database).await?;
    let ends = totals_before.iter().map(|row| (i32::from(row.partition), row.ledger_last + 1)).collect();
    let partitions = tokio::task::spawn_blocking(move || positions(&kafka, &group, &ends)).await??;
    let lines = audit(&work, args.heal, partitions).await?;
    let mut sequences = erase::sequences(&database, &database.name).await?.len();
    if args.heal && sequences > 0 {
        erase::forget(&database, &database.name).await?;
        sequences = 0;
    }
    let report = Report {
        topic: config.kafka.topic.clone(),
        generation,
        totals: if args.heal { totals(&database).await? } else { totals_before },
        lines,
        sequences,
        is_healed: args.heal,
    };
    print!("{report}");
    Ok(if report.remaining() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Audits each partition as far as it is settled. If the log is another one, nothing is healed by it.
async fn audit(
    work: &Work,
    heals: bool,
    mut partitions: Vec<Position>,
) -> anyhow::Result<Vec<(Position, Audited)>> {
    let database = &work.database;
    for at in &mut partitions {
        let (said, ledger) = (database.said(at.partition).await?, database.extent(at.partition).await?);
        let compared = compare(work, at.partition, &at.log, Some(at.settled), ledger, &said, None).await;
        at.found = match compared {
            Err(Error::OtherLog(found)) => Some(found),
            compared => compared.map(|()| None)?,
        };
    }
    let progress = ProgressBar::new(partitions.iter().map(Position::offsets).sum());
    progress.set_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} offsets, {eta} left")?);
    let mut audited = Vec::new();
    loop {
        let known = work.erasures.len();
        audited.clear();
        for at in &partitions {
            let range = at.log.start.min(at.settled)..at.settled;
            let healing = (heals && at.found.is_none()).then_some(work);
            let nothing = &mut Known::default();
            audited.push(audit_range(database, healing, nothing, at.partition, range, &progress).await?);
        }
        // A restored erasure also concerns the offsets before it.
        if !heals || work.erasures.len() == known {
            break;
        }
    }
    progress.finish_and_clear();
    Ok(partitions.into_iter().zip(audited).collect())
}

struct Report {
    topic: String,
    generation: u32,
    lines: Vec<(Position, Audited)>,
    totals: Vec<Totals>,
    /// Erased sessions that still have a sequence.
    sequences: usize,
    is_healed: bool,
}

impl Report {
    /// Partitions of the tables that the log does not have.
    fn strangers(&self) -> impl Iterator<Item = u16> {
        let in_log = |partition: u16| self.lines.iter().any(|(at, _)| at.partition == i32::from(partition));
        self.totals.iter().map(|row| row.partition).filter(move |partition| !in_log(*partition))
    }

    fn remaining(&self) -> u64 {
        let faults: u64 = self.lines.iter().map(|(_, audited)| audited.remaining.total()).sum();
        faults + (self.sequences + self.strangers().count() + self.breaks().count()) as u64
    }

    fn breaks(&self) -> impl Iterator<Item = &Break> {
        self.lines.iter().filter_map(|(at, _)| at.found.as_ref())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "partition    log start      log end   settled to     accepted   rejected  duplicate   absent     lost   \
             erased  erasure  faults"
        )?;
        for (at, audited) in &self.lines {
            let none = Totals::default();
            let row =
                self.totals.iter().find(|row| i32::from(row.partition) == at.partition).unwrap_or(&none);
            writeln!(
                f,
                "{:>9} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10} {:>8} {:>8} {:>8} {:>8}  {}",
                at.partition,
                at.log.start,
                at.log.end,
                at.settled,
                row.accepted,
                row.rejected,
                row.duplicates,
                row.absent,
                row.lost,
                row.erased,
                row.erasure_records,
                describe(audited, self.is_healed)
            )?;
        }
        for found in self.breaks() {
            writeln!(f, "{found}")?;
        }
        for partition in self.strangers() {
            writeln!(f, "{partition:>9} is in the tables, but not in the log")?;
        }
        if self.sequences > 0 {
            writeln!(f, "{} erased sessions still have a sequence", self.sequences)?;
        }
        let kept: usize = self.lines.iter().map(|(_, audited)| audited.kept).sum();
        if kept > 0 {
            writeln!(
                f,
                "{kept} offsets would get another verdict today and keep theirs: `projector reproject` judges the log \
                 anew"
            )?;
        }
        let offsets: u64 = self.lines.iter().map(|(at, _)| at.offsets()).sum();
        let verdict = match (self.remaining(), self.is_healed) {
            (0, _) => "each has one verdict, and each verdict its rows".to_owned(),
            (bad, true) => format!("{bad} faults remain: the log says why"),
            (bad, false) if self.breaks().next().is_none() => {
                format!("{bad} faults: run `projector audit --heal`")
            }
            (bad, false) => format!("{bad} faults"),
        };
        writeln!(f, "{} of generation {}: {offsets} offsets, {verdict}", self.topic, self.generation)
    }
}

fn describe(Audited { found, remaining, .. }: &Audited, is_healed: bool) -> String {
    if found.total() == 0 {
        return "-".into();
    }
    let Faults { gaps, doubled, events_missing, rejections_missing, erasures_missing, surplus, not_erased } =
        found;
    let mut text = format!(
        "{gaps} without verdict, {doubled} doubled, {events_missing} events and {rejections_missing} rejections \
         missing, {surplus} surplus"
    );
    if erasures_missing + not_erased > 0 {
        text += &format!(", {erasures_missing} erasures missing, {not_erased} records not erased");
    }
    if is_healed {
        text += &format!("; {} after healing", remaining.total());
    }
    text
}

struct Position {
    partition: i32,
    log: Range<u64>,
    /// Everything below is inserted and verified.
    settled: u64,
    /// Where the log is another one.
    found: Option<Break>,
}

impl Position {
    /// Settled offsets that the log still has.
    fn offsets(&self) -> u64 {
        self.settled.saturating_sub(self.log.start)
    }
}

/// How far each partition is. `ledger_ends` replace expired commits.
fn positions(
    kafka: &KafkaConfig,
    group: &str,
    ledger_ends: &BTreeMap<i32, u64>,
) -> anyhow::Result<Vec<Position>> {
    let log = Reader::new(kafka, Isolation::Committed)?;
    let partitions = log.partitions().with_context(|| format!("no broker answers at {}", kafka.brokers))?;
    let committed = log::committed(kafka, group, &partitions)?;
    let mut positions = Vec::new();
    for partition in partitions {
        let settled = committed.get(&partition).or_else(|| ledger_ends.get(&partition)).copied().unwrap_or(0);
        positions.push(Position { partition, log: log.bounds(partition)?, settled, found: None });
    }
    Ok(positions)
}
