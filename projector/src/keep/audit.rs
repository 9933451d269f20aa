//! The audit: every offset of the log has one verdict, and every verdict has its rows, once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clickhouse::Row;
use indicatif::{ProgressBar, ProgressStyle};
use infra::kafka::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use tables::account;
use tokio::sync::Mutex;

use crate::commit::ledger::Extent;
use crate::config::ProjectorConfig;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::judge::erasures::Erasures;
use crate::keep::erase;
use crate::keep::heal::heal;
use crate::log;
use crate::work::Work;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub config: ProjectorConfig,
    /// Judge faulty ranges of the log again and put right what the tables lack.
    #[arg(long)]
    pub heal: bool,
    /// The generation to audit; the serving one if not given.
    #[arg(long, value_name = "N")]
    pub generation: Option<u32>,
}

/// After a round that somebody asked for and that did not get to its end.
const AGAIN: Duration = Duration::from_secs(5);
/// So many offsets are compared at once: the memory of a step, and the grain of healing.
const STEP: u64 = 500_000;

/// What is wrong with a range. All zero: it adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Row, Deserialize)]
pub(crate) struct Faults {
    /// Offsets without a verdict.
    pub gaps: u64,
    /// Rows beyond the first of an offset, over the tables.
    pub doubled: u64,
    pub events_missing: u64,
    pub rejections_missing: u64,
    pub erasures_missing: u64,
    /// Rows of events, rejections or erasures whose verdict is another one, or that have none.
    pub surplus: u64,
    /// Offsets of erased sessions, of which the ledger still says whose they are.
    pub not_erased: u64,
}

impl Faults {
    pub(crate) fn total(&self) -> u64 {
        self.gaps
            + self.doubled
            + self.events_missing
            + self.rejections_missing
            + self.erasures_missing
            + self.surplus
            + self.not_erased
    }

    fn add(&mut self, other: Self) {
        self.gaps += other.gaps;
        self.doubled += other.doubled;
        self.events_missing += other.events_missing;
        self.rejections_missing += other.rejections_missing;
        self.erasures_missing += other.erasures_missing;
        self.surplus += other.surplus;
        self.not_erased += other.not_erased;
    }
}

/// One partition's totals, see `audit/totals.sql`.
#[derive(Debug, Clone, Default, Row, Deserialize)]
pub(crate) struct Totals {
    pub partition: u16,
    pub ledger_rows: u64,
    pub ledger_first: u64,
    pub ledger_last: u64,
    pub ledger_sum: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub duplicates: u64,
    pub absent: u64,
    pub erased: u64,
    pub erasure_records: u64,
    events_off: (i64, i64),
    rejections_off: (i64, i64),
    erasures_off: (i64, i64),
}

/// By how much ledger, events, rejections and erasures are off.
type Off = [(i64, i64); 4];

impl Totals {
    /// The cheap check: no gap, no overlap, and as many rows as verdicts.
    fn add_up(&self) -> bool {
        let ledger = Extent {
            rows: self.ledger_rows,
            first: self.ledger_first,
            last: self.ledger_last,
            sum: self.ledger_sum,
            log_time: 0,
        };
        ledger.is_contiguous() && self.off() == Off::default()
    }

    fn off(&self) -> Off {
        let ledger = account::off(self.ledger_rows, self.ledger_first, self.ledger_last, self.ledger_sum);
        [ledger, self.events_off, self.rejections_off, self.erasures_off]
    }
}

pub(crate) async fn totals(database: &Database) -> Result<Vec<Totals>> {
    let sql = include_str!("audit/totals.sql").replace("{database}", &database.name);
    Ok(database.client.query(&sql).fetch_all().await?)
}

/// The exact check of a range.
pub(crate) async fn faults(database: &Database, partition: i32, range: &Range<u64>) -> Result<Faults> {
    let sql = include_str!("audit/range.sql").replace("{database}", &database.name);
    let query = database.client.query(&sql).param("partition", partition);
    Ok(query.param("from", range.start).param("to", range.end).fetch_one().await?)
}

/// What healing takes.
#[derive(Clone, Copy)]
struct Healing<'a> {
    judge: &'a Arc<schemas::Judge>,
    erasures: &'a Arc<Erasures>,
    /// Held to heal, and only then: a range takes long to read, and the passes of `sequences` wait.
    turn: &'a Mutex<()>,
}

/// What healing can't put right, because it keeps verdicts that nobody would get today: not judged again each round.
#[derive(Debug, Default)]
struct Known {
    /// By partition and first offset of a step: what was left of it.
    steps: BTreeMap<(i32, u64), Faults>,
    /// By partition: how far its totals are off while nothing else is wrong.
    totals: BTreeMap<i32, Off>,
    /// With these rules; others may heal it.
    judge: Option<Arc<schemas::Judge>>,
}

impl Known {
    fn by(&mut self, judge: &Arc<schemas::Judge>) {
        if !self.judge.as_ref().is_some_and(|known| Arc::ptr_eq(known, judge)) {
            *self = Self { judge: Some(Arc::clone(judge)), ..Self::default() };
        }
    }

    /// Faults below `offset`.
    fn below(&self, partition: i32, offset: u64) -> u64 {
        self.steps.range((partition, 0)..(partition, offset)).map(|(_, faults)| faults.total()).sum()
    }
}

/// Audits a range step by step, heals the faulty steps if asked, in order. Returns what was found and
/// what remains, and how many offsets keep a verdict that they would not get today.
async fn audit_range(
    config: &ProjectorConfig,
    database: &Database,
    healing: Option<Healing<'_>>,
    known: &mut Known,
    partition: i32,
    range: Range<u64>,
    progress: &ProgressBar,
) -> Result<(Faults, Faults, usize)> {
    let (mut found, mut remaining, mut kept) = (Faults::default(), Faults::default(), 0);
    let mut from = range.start;
    while from < range.end {
        // Each round has the same steps.
        let step = from..range.end.min(first_of_step(from) + STEP);
        let place = (partition, first_of_step(from));
        let seen = faults(database, partition, &step).await?;
        if seen.total() > 0
            && known.steps.get(&place) != Some(&seen)
            && let Some(Healing { judge, erasures, turn }) = healing
        {
            known.steps.remove(&place);
            let _turn = turn.lock().await;
            // What expired while it was read may look like a fault. Within the turn nothing does.
            let mut now = faults(database, partition, &step).await?;
            found.add(now);
            if now.total() > 0 {
                tracing::warn!(partition, ?step, ?now, "healing");
            }
            let erased_again = async |now: Faults| {
                if now.not_erased == 0 {
                    return Ok::<_, Error>(now);
                }
                erase::apply(database, &database.name).await?;
                erase::forget(database, &database.name).await?;
                faults(database, partition, &step).await
            };
            now = erased_again(now).await?;
            if now.total() > 0 {
                let healed = heal(config, database, judge, erasures, partition, step.clone()).await?;
                kept += healed.kept;
                tracing::info!(partition, ?step, ?healed, "healed");
                // Of a session that was erased meanwhile, rows that were judged before may have come back.
                now = erased_again(faults(database, partition, &step).await?).await?;
                if now.total() > 0 && healed.kept > 0 {
                    known.steps.insert(place, now);
                }
            }
            remaining.add(now);
        } else {
            if seen.total() == 0 {
                known.steps.remove(&place);
            }
            found.add(seen);
            remaining.add(seen);
        }
        progress.inc(step.end - step.start);
        from = step.end;
    }
    Ok((found, remaining, kept))
}

fn first_of_step(offset: u64) -> u64 {
    offset - offset % STEP
}

/// The verb: prints a table; exit code 1 if faults remain.
///
/// # Errors
/// Kafka or ClickHouse out of reach.
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
    let judge = args.heal.then(|| config.judge.load(&config.kafka.topic)).transpose()?.map(Arc::new);
    let totals = totals(&database).await?;
    let (kafka, group) = (config.kafka.clone(), config.group_of(generation));
    let ends = totals.iter().map(|row| (i32::from(row.partition), row.ledger_last + 1)).collect();
    let partitions = tokio::task::spawn_blocking(move || positions(&kafka, &group, &ends)).await??;

    let progress =
        ProgressBar::new(partitions.iter().map(|at| at.settled.saturating_sub(at.log.start)).sum());
    progress.set_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} offsets, {eta} left")?);
    let erasures = Arc::<Erasures>::default();
    erase::refresh(&erasures, &database).await?;
    // Nobody else in this process writes `sequences`.
    let turn = Mutex::default();
    let healing = judge.as_ref().map(|judge| Healing { judge, erasures: &erasures, turn: &turn });
    let mut lines = Vec::new();
    let kept = loop {
        let known = erasures.len();
        lines.clear();
        let mut kept = 0;
        for at in &partitions {
            let range = at.log.start.min(at.settled)..at.settled;
            let (found, remaining, some_kept) = audit_range(
                config,
                &database,
                healing,
                &mut Known::default(),
                at.partition,
                range,
                &progress,
            )
            .await?;
            kept += some_kept;
            lines.push((at, found, remaining));
        }
        // An erasure that was brought back concerns what was looked at before it, too.
        if erasures.len() == known {
            break kept;
        }
    };
    let mut bad: u64 = lines.iter().map(|(_, _, remaining)| remaining.total()).sum();
    let mut sequences = erase::sequences(&database, &database.name).await?.len() as u64;
    if args.heal && sequences > 0 {
        erase::forget(&database, &database.name).await?;
        sequences = 0;
    }
    bad += sequences;
    progress.finish_and_clear();
    let totals = if args.heal { self::totals(&database).await? } else { totals };
    println!(
        "{:>9} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10} {:>8} {:>8} {:>8}  faults",
        "partition",
        "log start",
        "log end",
        "settled to",
        "accepted",
        "rejected",
        "duplicate",
        "absent",
        "erased",
        "erasure"
    );
    for (at, found, remaining) in &lines {
        let none = Totals::default();
        let row = totals.iter().find(|row| i32::from(row.partition) == at.partition).unwrap_or(&none);
        println!(
            "{:>9} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10} {:>8} {:>8} {:>8}  {}",
            at.partition,
            at.log.start,
            at.log.end,
            at.settled,
            row.accepted,
            row.rejected,
            row.duplicates,
            row.absent,
            row.erased,
            row.erasure_records,
            describe(found, remaining, args.heal)
        );
    }
    for row in
        totals.iter().filter(|row| !partitions.iter().any(|at| at.partition == i32::from(row.partition)))
    {
        bad += 1;
        println!("{:>9} is in the tables, but not in the log", row.partition);
    }
    if sequences > 0 {
        println!("{sequences} erased sessions still have a sequence");
    }
    if kept > 0 {
        println!(
            "{kept} offsets would get another verdict today and keep theirs: `projector reproject` judges the log anew"
        );
    }
    let settled: u64 = lines.iter().map(|(at, ..)| at.settled.saturating_sub(at.log.start)).sum();
    println!(
        "{} of generation {generation}: {settled} offsets, {}",
        config.kafka.topic,
        match (bad, args.heal) {
            (0, _) => "each has one verdict, and each verdict its rows".to_owned(),
            (bad, true) => format!("{bad} faults remain: the log says why"),
            (bad, false) => format!("{bad} faults: run `projector audit --heal`"),
        }
    );
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(found: &Faults, remaining: &Faults, heal: bool) -> String {
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
    if heal {
        text += &format!("; {} after healing", remaining.total());
    }
    text
}

/// How far a partition is.
struct Position {
    partition: i32,
    log: Range<u64>,
    /// Everything below has been inserted and verified.
    settled: u64,
}

/// `ledger_ends` stand in for commits that have expired.
fn positions(
    kafka: &KafkaConfig,
    group: &str,
    ledger_ends: &BTreeMap<i32, u64>,
) -> anyhow::Result<Vec<Position>> {
    // Never subscribed, so it is no member: it only asks.
    let consumer: BaseConsumer =
        kafka.client(&[("group.id", group), ("isolation.level", "read_committed")]).create()?;
    let numbers = log::partitions(&consumer, &kafka.topic)
        .with_context(|| format!("no broker answers at {}", kafka.brokers))?;
    let mut list = TopicPartitionList::new();
    for number in &numbers {
        list.add_partition(&kafka.topic, *number);
    }
    let commits = consumer.committed_offsets(list, log::BROKER)?;
    let mut positions = Vec::new();
    for partition in numbers {
        let commit = commits.find_partition(&kafka.topic, partition).map(|element| element.offset());
        let settled = match commit {
            Some(Offset::Offset(offset)) => offset as u64,
            _ => ledger_ends.get(&partition).copied().unwrap_or(0),
        };
        positions.push(Position {
            partition,
            log: log::bounds(&consumer, &kafka.topic, partition)?,
            settled,
        });
    }
    Ok(positions)
}

/// The audit in the background: the cheap totals of all, the exact look at what is recent, and the
/// exact look at everything where the totals say that something is wrong. Heals what it finds.
pub(crate) async fn watch(work: Arc<Work>) {
    let minutes = work.config.audit_minutes;
    // 0: never but when a shard has lost its tables.
    let every = if minutes == 0 { Duration::MAX } else { Duration::from_secs(60 * minutes) };
    let mut known = Known::default();
    let mut is_asked = false;
    loop {
        let pause = if is_asked { AGAIN } else { every };
        let asked = tokio::time::timeout(pause, work.audit.notified()).await.is_ok();
        let before = work.metrics.audit_faults.get();
        match round(&work, &mut known).await {
            Ok(faults) => {
                work.metrics.audit_faults.set(faults as i64);
                // Whoever asked wants all to be healed; what stays as it is has time.
                is_asked = (asked || is_asked) && faults > 0 && faults as i64 != before;
            }
            Err(error) => {
                is_asked |= asked;
                tracing::warn!(%error, "audit");
            }
        }
    }
}

/// How many faults are left. A partition that could not be looked at to its end counts as one.
async fn round(work: &Work, known: &mut Known) -> Result<u64> {
    let totals = totals(&work.database).await?;
    let judge = work.judge.load_full();
    known.by(&judge);
    let healing = Healing { judge: &judge, erasures: &work.erasures, turn: &work.turn };
    let mut remaining = 0;
    for partition in work.owned() {
        let row = totals.iter().find(|row| i32::from(row.partition) == partition);
        remaining += audit_partition(work, healing, known, partition, row).await.unwrap_or_else(|error| {
            tracing::error!(partition, %error, "the audit did not get to the end of this partition");
            1
        });
    }
    Ok(remaining)
}

async fn audit_partition(
    work: &Work,
    healing: Healing<'_>,
    known: &mut Known,
    partition: i32,
    totals: Option<&Totals>,
) -> Result<u64> {
    // Below this everything was inserted and verified; what is above is under way.
    let Some(settled) = work.inserted_to(partition) else { return Ok(0) };
    let log = work.bounds(partition).await?;
    // A ledger that adds up may lack its beginning: tables that were lost while this projector ran.
    let is_as_known = |row: &Totals| known.totals.get(&partition) == Some(&row.off());
    let adds_up = |row: &Totals| (row.add_up() || is_as_known(row)) && row.ledger_first <= log.start;
    let suspicious = totals.is_none_or(|row| !adds_up(row));
    let recent = first_of_step(settled.saturating_sub(STEP));
    let range = if suspicious { log.start } else { recent.max(log.start) }.min(settled)..settled;
    let below = if suspicious { 0 } else { known.below(partition, range.start) };
    let progress = ProgressBar::hidden();
    let (found, left, _) =
        audit_range(&work.config, &work.database, Some(healing), known, partition, range, &progress).await?;
    let healed = found.total().saturating_sub(left.total());
    work.metrics.healed.with_label_values(&["audit"]).inc_by(healed);
    // Nothing but what was known already is wrong.
    let is_known = left.total() > 0 && left.total() == known.below(partition, settled);
    if let Some(totals) = totals.filter(|_| suspicious && healed == 0 && is_known) {
        known.totals.insert(partition, totals.off());
    }
    Ok(left.total() + below)
}

#[cfg(test)]
mod tests;
