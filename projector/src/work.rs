//! What the loop and its tasks share.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use schemas::Judge;
use tokio::sync::{Mutex as Turn, Notify, Semaphore};

use crate::commit::settle::Healed;
use crate::config::ProjectorConfig;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::judge::chunk::ClosedChunk;
use crate::judge::erasures::Erasures;
use crate::judge::projection::Tally;
use crate::log;
use crate::metrics::Metrics;

/// Who has not answered for so long is not there. `/readyz` says so within ten seconds: a question takes a moment, too.
const SILENT: Duration = Duration::from_secs(7);

pub(crate) struct Work {
    pub config: ProjectorConfig,
    pub database: Database,
    /// Replaced when the event types or applications are read again.
    pub judge: ArcSwap<Judge>,
    pub erasures: Arc<Erasures>,
    pub metrics: Metrics,
    /// Of those who write `sequences`.
    pub turn: Arc<Turn<()>>,
    /// Asks for an audit now.
    pub audit: Notify,
    /// One partition at a time looks where to go on.
    pub resuming: Semaphore,
    reader: Arc<log::LogConsumer>,
    state: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    alive: Option<Instant>,
    owned: Vec<i32>,
    /// By partition, and when it was said.
    log_ends: BTreeMap<i32, (u64, Instant)>,
    /// When they last answered.
    brokers: Option<Instant>,
    clickhouse: Option<Instant>,
    /// By partition, while its chunk does not get into the tables: what it waits for.
    insert_fails: BTreeMap<i32, &'static str>,
    inserted_to: BTreeMap<i32, u64>,
    judged_to: BTreeMap<i32, u64>,
    /// Counts changes of `owned`.
    assignment: u64,
    /// So many erased sessions are in no table, as far as the partitions of that assignment are concerned.
    erased: (usize, u64),
}

impl Work {
    pub(crate) fn new(
        config: ProjectorConfig,
        generation: u32,
        judge: Judge,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        metrics.declare(judge.registry());
        metrics.declare_apps(judge.apps());
        metrics.begin_projecting();
        Ok(Self {
            database: Database::new(&config.clickhouse, generation, &config.kafka.topic),
            judge: ArcSwap::from_pointee(judge),
            erasures: Arc::default(),
            metrics,
            turn: Arc::default(),
            audit: Notify::new(),
            resuming: Semaphore::new(1),
            reader: Arc::new(log::reader(&config.kafka)?),
            state: Mutex::default(),
            config,
        })
    }

    /// The offsets that the log holds of a partition.
    pub(crate) async fn bounds(&self, partition: i32) -> Result<Range<u64>> {
        let (reader, topic) = (Arc::clone(&self.reader), self.config.kafka.topic.clone());
        let asked = tokio::task::spawn_blocking(move || log::bounds(&reader, &topic, partition));
        Ok(asked.await.map_err(|_| Error::Stopped)??)
    }

    /// The first offset of a partition that is not older than `time`, milliseconds.
    pub(crate) async fn first_at(&self, partition: i32, time: i64) -> Result<u64> {
        let (reader, topic) = (Arc::clone(&self.reader), self.config.kafka.topic.clone());
        let asked = tokio::task::spawn_blocking(move || log::first_at(&reader, &topic, partition, time));
        Ok(asked.await.map_err(|_| Error::Stopped)??)
    }

    /// Asks the brokers how many partitions the topic has.
    pub(crate) async fn count_partitions(&self) -> Result<()> {
        let (reader, topic) = (Arc::clone(&self.reader), self.config.kafka.topic.clone());
        let asked = tokio::task::spawn_blocking(move || log::partitions(&reader, &topic));
        let partitions = asked.await.map_err(|_| Error::Stopped)??;
        self.brokers_answered();
        self.metrics.topic_partitions.set(partitions.len() as i64);
        Ok(())
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// The partitions that the loop has been given.
    pub(crate) fn owned(&self) -> Vec<i32> {
        self.progress().owned.clone()
    }

    pub(crate) fn set_owned(&self, owned: Vec<i32>) {
        let mut progress = self.progress();
        for lost in progress.owned.iter().filter(|partition| !owned.contains(partition)) {
            self.forget_lag(*lost);
            // A series that was never set is no error.
            let _ = self.metrics.position.remove_label_values(&[&lost.to_string()]);
        }
        progress.inserted_to.retain(|partition, _| owned.contains(partition));
        progress.insert_fails.retain(|partition, _| owned.contains(partition));
        progress.owned = owned;
        progress.assignment += 1;
    }

    pub(crate) fn set_log_end(&self, partition: i32, end: u64) {
        self.brokers_answered();
        let mut progress = self.progress();
        progress.log_ends.insert(partition, (end, Instant::now()));
        if !progress.owned.contains(&partition) {
            return;
        }
        if let Some(inserted) = progress.inserted_to.get(&partition) {
            let lag = end.saturating_sub(*inserted);
            self.metrics.lag.with_label_values(&[&partition.to_string()]).set(lag as i64);
            if lag == 0 {
                self.metrics.lag_ms.with_label_values(&[&partition.to_string()]).set(0);
            }
        }
    }

    /// Where the log ended a moment ago; `None` if the brokers did not say.
    pub(crate) fn log_end(&self, partition: i32) -> Option<u64> {
        self.progress().log_ends.get(&partition).map(|(end, _)| *end)
    }

    /// What can't be asked has no last value: a lag of before would say that all is well.
    pub(crate) fn forget_old_log_ends(&self) {
        let mut progress = self.progress();
        let old = |(_, said): &(u64, Instant)| said.elapsed() > SILENT;
        for (partition, _) in progress.log_ends.extract_if(.., |_, end| old(end)) {
            self.forget_lag(partition);
        }
    }

    fn forget_lag(&self, partition: i32) {
        let label = partition.to_string();
        // A series that was never set is no error.
        let _ = self.metrics.lag.remove_label_values(&[&label]);
        let _ = self.metrics.lag_ms.remove_label_values(&[&label]);
    }

    pub(crate) fn brokers_answered(&self) {
        self.progress().brokers = Some(Instant::now());
        self.metrics.brokers_answered();
    }

    pub(crate) fn clickhouse_answered(&self) {
        self.progress().clickhouse = Some(Instant::now());
    }

    pub(crate) fn insert_failed(&self, partition: i32, error: &Error) {
        let waits_for = match error {
            Error::Running | Error::ClickHouse(_) | Error::NotHealed { .. } => {
                self.metrics.insert_errors.inc();
                "ClickHouse takes no inserts; the log says why"
            }
            Error::Kafka(_) => "waiting for the brokers, to read again what is being verified",
            Error::Late | Error::Contradiction(_) | Error::Disputed | Error::Stopped => {
                "a chunk does not get into the tables; the log says why"
            }
        };
        self.progress().insert_fails.insert(partition, waits_for);
    }

    /// What keeps this process from projecting now, if anything does.
    pub(crate) fn waits_for(&self) -> Option<&'static str> {
        let progress = self.progress();
        let is_silent = |answered: Option<Instant>| answered.is_none_or(|at| at.elapsed() > SILENT);
        // One partition without a leader is no reason: the others go on.
        let unknown = |partition: &i32| !progress.log_ends.contains_key(partition);
        let none_is_known = !progress.owned.is_empty() && progress.owned.iter().all(unknown);
        if progress.alive.is_none() || is_silent(progress.brokers) || none_is_known {
            Some("waiting for the brokers")
        } else if is_silent(progress.clickhouse) {
            Some("waiting for ClickHouse")
        } else {
            progress.insert_fails.values().next().copied()
        }
    }

    /// How long the loop has not turned although the brokers answer. Without them it may wait for a commit.
    pub(crate) fn stuck(&self) -> Option<Duration> {
        let progress = self.progress();
        progress.brokers.filter(|at| at.elapsed() <= SILENT)?;
        progress.alive.map(|alive| alive.elapsed())
    }

    /// Everything of a partition below this has been inserted and verified.
    pub(crate) fn inserted_to(&self, partition: i32) -> Option<u64> {
        self.progress().inserted_to.get(&partition).copied()
    }

    pub(crate) fn set_inserted_to(&self, partition: i32, offset: u64) {
        self.progress().inserted_to.insert(partition, offset);
        self.metrics.position.with_label_values(&[&partition.to_string()]).set(offset as i64);
    }

    /// A chunk is in the tables.
    pub(crate) fn inserted(&self, partition: i32, chunk: &ClosedChunk, healed: Healed) {
        let now = unix_now();
        let age = (now.as_millis() as i64 - chunk.oldest).max(0);
        self.metrics.freshness.observe(age as f64 / 1000.0);
        self.metrics.chunk_rows.observe(chunk.rows() as f64);
        self.metrics.lag_ms.with_label_values(&[&partition.to_string()]).set(age);
        let Healed { missing, late, wrong, kept } = healed;
        for (kind, rows) in [("missing", missing), ("late", late), ("wrong", wrong), ("kept", kept)] {
            self.metrics.healed.with_label_values(&[kind]).inc_by(rows as u64);
        }
        if healed != Healed::default() {
            tracing::info!(partition, range = ?chunk.range(), ?healed, "completed");
        }
        self.progress().insert_fails.remove(&partition);
        self.set_inserted_to(partition, chunk.range().end);
    }

    /// Of each partition that is ours: everything below is in the tables.
    pub(crate) fn confirmed(&self) -> BTreeMap<u16, u64> {
        let inserted = self.progress().inserted_to.clone();
        inserted
            .into_iter()
            .filter_map(|(partition, to)| Some((u16::try_from(partition).ok()?, to)))
            .collect()
    }

    pub(crate) fn count(&self, tally: &mut Tally) {
        for (verdict, count) in tally.verdicts() {
            self.metrics.verdicts.with_label_values(&[verdict.as_str()]).inc_by(count);
        }
        for (reason, count) in tally.reasons() {
            self.metrics.reasons.with_label_values(&[reason.as_str()]).inc_by(count);
        }
        for (labels, count) in tally.types() {
            self.metrics.types.with_label_values(&labels).inc_by(count);
        }
        for (labels, count) in tally.apps() {
            self.metrics.apps_verdicts.with_label_values(&labels).inc_by(count);
        }
        *tally = Tally::default();
    }

    /// The loop has turned at `now`; every partition that runs is judged this far.
    pub(crate) fn alive(&self, now: Instant, judged_to: BTreeMap<i32, u64>) {
        let mut progress = self.progress();
        progress.alive = Some(now);
        progress.judged_to = judged_to;
    }

    /// How far each partition is judged, if the loop has turned since.
    pub(crate) fn judged(&self, since: Instant) -> Option<BTreeMap<i32, u64>> {
        let progress = self.progress();
        progress.alive.filter(|alive| *alive >= since).map(|_| progress.judged_to.clone())
    }

    /// Changes whenever partitions come or go.
    pub(crate) fn assignment(&self) -> u64 {
        self.progress().assignment
    }

    /// So many erased sessions are in no table. Partitions that came since may have been left half erased.
    pub(crate) fn erased(&self) -> usize {
        let progress = self.progress();
        let (sessions, assignment) = progress.erased;
        if assignment == progress.assignment { sessions } else { 0 }
    }

    pub(crate) fn set_erased(&self, sessions: usize, assignment: u64) {
        self.progress().erased = (sessions, assignment);
    }

    /// Whether no session that is known to be erased is in a table.
    pub(crate) fn is_erased(&self) -> bool {
        self.erased() == self.erasures.len()
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// 100 ms, doubled with each attempt, to 10 s: no partition is given up.
pub(crate) fn backoff(attempts: u32) -> Duration {
    Duration::from_millis(100 << attempts.saturating_sub(1).min(7)).min(Duration::from_secs(10))
}
