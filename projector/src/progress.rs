//! How far each partition is and which servers answer, for `/readyz` and the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use crate::commit::settle::Healed;
use crate::error::Error;
use crate::judge::chunk::ClosedChunk;
use crate::judge::tally::Tally;
use crate::judge::witness::Witness;
use crate::log::Break;
use crate::metrics::Metrics;

/// After how long a silent broker or ClickHouse counts as away. `/readyz` must say so within ten seconds, and a
/// question takes a moment, too.
const SILENT: Duration = Duration::from_secs(7);

#[derive(Debug)]
pub(crate) struct Progress {
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    alive: Option<Instant>,
    owned: Vec<i32>,
    log_ends: BTreeMap<i32, LogEnd>,
    /// When they last answered.
    brokers: Option<Instant>,
    clickhouse: Option<Instant>,
    /// By partition whose chunk can't be inserted: what it waits for.
    insert_fails: BTreeMap<i32, &'static str>,
    /// By partition whose log is another one: in words.
    refused: BTreeMap<i32, String>,
    /// By partition that stands still although its log goes on: the offset.
    stalled: BTreeMap<i32, u64>,
    /// Partitions of which the loop does not know yet that they may hold another log: the offset to compare.
    suspects: BTreeMap<i32, u64>,
    inserted_to: BTreeMap<i32, u64>,
    /// By running partition: the next offset, and the last record that was judged.
    judged: BTreeMap<i32, (u64, Option<Witness>)>,
    /// Of the topic.
    partitions: usize,
    /// Counts changes of `owned`.
    assignment: u64,
    /// By category and name: the features that this process has accepted.
    features: BTreeMap<String, BTreeSet<String>>,
    new_features: BTreeSet<(String, String)>,
    /// Where the log of the owned partitions ended at an earlier look.
    ends_before: BTreeMap<i32, u64>,
    /// How many erased sessions are in no table, and the `assignment` for which this holds.
    erased: (usize, u64),
}

/// Where the log of a partition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The end of what the brokers have acknowledged.
    pub high: u64,
    /// The end of what may be judged: an open transaction lies behind it. `None` if it was not asked for.
    pub stable: Option<u64>,
    /// When they said so.
    pub at: Instant,
}

impl Progress {
    pub(crate) fn new(metrics: Metrics) -> Self {
        metrics.partitions_refused.set(0);
        Self { metrics, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    pub(crate) fn owned(&self) -> Vec<i32> {
        self.state().owned.clone()
    }

    /// How many partitions the topic has; 0 before the brokers said so.
    pub(crate) fn partitions(&self) -> usize {
        self.state().partitions
    }

    pub(crate) fn set_partitions(&self, partitions: usize) {
        self.brokers_answered();
        self.metrics.topic_partitions.set(partitions as i64);
        self.state().partitions = partitions;
    }

    pub(crate) fn set_owned(&self, owned: Vec<i32>) {
        let mut progress = self.state();
        for lost in progress.owned.iter().filter(|partition| !owned.contains(partition)) {
            self.forget_lag(*lost);
            // A series that was never set is no error.
            let _ = self.metrics.position.remove_label_values(&[&lost.to_string()]);
        }
        progress.inserted_to.retain(|partition, _| owned.contains(partition));
        progress.insert_fails.retain(|partition, _| owned.contains(partition));
        progress.refused.retain(|partition, _| owned.contains(partition));
        self.metrics.partitions_refused.set(progress.refused.len() as i64);
        progress.owned = owned;
        progress.assignment += 1;
    }

    pub(crate) fn set_log_end(&self, partition: i32, end: LogEnd) {
        self.brokers_answered();
        let mut progress = self.state();
        progress.log_ends.insert(partition, end);
        if !progress.owned.contains(&partition) {
            return;
        }
        if let Some(inserted) = progress.inserted_to.get(&partition) {
            let lag = end.high.saturating_sub(*inserted);
            self.metrics.lag.with_label_values(&[&partition.to_string()]).set(lag as i64);
            if lag == 0 {
                self.metrics.lag_ms.with_label_values(&[&partition.to_string()]).set(0);
            }
        }
    }

    /// The log's last known end; `None` if the brokers did not say.
    pub(crate) fn log_end(&self, partition: i32) -> Option<LogEnd> {
        self.state().log_ends.get(&partition).copied()
    }

    /// The next offset of a running partition.
    pub(crate) fn judged_to(&self, partition: i32) -> Option<u64> {
        self.state().judged.get(&partition).map(|(next, _)| *next)
    }

    /// Removes log ends that are old: an old lag would say that all is well.
    pub(crate) fn forget_old_log_ends(&self) {
        let mut progress = self.state();
        let old = |end: &LogEnd| end.at.elapsed() > SILENT;
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
        self.state().brokers = Some(Instant::now());
        self.metrics.brokers_answered();
    }

    pub(crate) fn clickhouse_answered(&self) {
        self.state().clickhouse = Some(Instant::now());
    }

    pub(crate) fn insert_failed(&self, partition: i32, error: &Error) {
        let waits_for = match error {
            Error::Running | Error::ClickHouse(_) | Error::NotHealed { .. } => {
                "ClickHouse takes no inserts; the log says why"
            }
            Error::Kafka(_) => "waiting for the brokers, to read again what is being verified",
            Error::Late | Error::OtherLog(_) | Error::Contradiction(_) | Error::Disputed | Error::Stopped => {
                "a chunk does not get into the tables; the log says why"
            }
        };
        self.state().insert_fails.insert(partition, waits_for);
    }

    /// The log of a partition is another one: what was inserted says nothing of it.
    pub(crate) fn refuse(&self, found: &Break) {
        let mut progress = self.state();
        progress.inserted_to.remove(&found.partition);
        progress.refused.insert(found.partition, found.to_string());
        self.metrics.partitions_refused.set(progress.refused.len() as i64);
        self.forget_lag(found.partition);
    }

    pub(crate) fn set_stalled(&self, stalled: &BTreeMap<i32, u64>) {
        let mut progress = self.state();
        if progress.stalled != *stalled {
            self.metrics.partitions_stalled.set(stalled.len() as i64);
            progress.stalled.clone_from(stalled);
        }
    }

    /// An owned partition may hold another log: the record at this offset is not the one that was judged. The loop is
    /// to look again where it goes on.
    pub(crate) fn suspect(&self, partition: i32, offset: u64) {
        let mut progress = self.state();
        if progress.owned.contains(&partition) {
            progress.suspects.insert(partition, offset);
        }
    }

    pub(crate) fn take_suspects(&self) -> BTreeMap<i32, u64> {
        std::mem::take(&mut self.state().suspects)
    }

    /// The log of a partition is the one that was judged.
    pub(crate) fn recognise(&self, partition: i32) {
        let mut progress = self.state();
        progress.refused.remove(&partition);
        self.metrics.partitions_refused.set(progress.refused.len() as i64);
    }

    /// What this projector waits for, if anything.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let progress = self.state();
        let is_silent = |answered: Option<Instant>| answered.is_none_or(|at| at.elapsed() > SILENT);
        // One partition without a leader does not count: the others go on.
        let unknown = |partition: &i32| !progress.log_ends.contains_key(partition);
        let none_is_known = !progress.owned.is_empty() && progress.owned.iter().all(unknown);
        if progress.alive.is_none() || is_silent(progress.brokers) || none_is_known {
            Some("waiting for the brokers".into())
        } else if is_silent(progress.clickhouse) {
            Some("waiting for ClickHouse".into())
        } else {
            let fails = progress.insert_fails.values().next().map(|waits_for| (*waits_for).into());
            let stalled = progress.stalled.first_key_value().map(|(partition, offset)| {
                format!(
                    "partition {partition} stands still at offset {offset}, although its log goes on: librdkafka can't \
                     read it. If its log says BadCompression, allow larger batches: \
                     EYE_KAFKA_OPTIONS=receive.message.max.bytes=1000000000"
                )
            });
            progress.refused.values().next().cloned().or(stalled).or(fails)
        }
    }

    /// How long the loop has not turned although the brokers answer. Without them it may wait for a commit.
    pub(crate) fn stuck(&self) -> Option<Duration> {
        let progress = self.state();
        progress.brokers.filter(|at| at.elapsed() <= SILENT)?;
        progress.alive.map(|alive| alive.elapsed())
    }

    /// The offset of a partition below which everything is inserted and verified.
    pub(crate) fn inserted_to(&self, partition: i32) -> Option<u64> {
        self.state().inserted_to.get(&partition).copied()
    }

    pub(crate) fn set_inserted_to(&self, partition: i32, offset: u64) {
        self.state().inserted_to.insert(partition, offset);
        self.metrics.position.with_label_values(&[&partition.to_string()]).set(offset as i64);
    }

    pub(crate) fn inserted(&self, partition: i32, chunk: &ClosedChunk, healed: Healed) {
        let now = unix_now();
        let age = (now.as_millis() as i64 - chunk.oldest).max(0);
        self.metrics.freshness.observe(age as f64 / 1000.0);
        self.metrics.lag_ms.with_label_values(&[&partition.to_string()]).set(age);
        let Healed { missing, late, wrong, kept } = healed;
        for (kind, rows) in [("missing", missing), ("late", late), ("wrong", wrong), ("kept", kept)] {
            self.metrics.healed.with_label_values(&[kind]).inc_by(rows as u64);
        }
        if healed != Healed::default() {
            tracing::info!(partition, range = ?chunk.range(), ?healed, "completed");
        }
        self.state().insert_fails.remove(&partition);
        self.set_inserted_to(partition, chunk.range().end);
    }

    /// For each owned partition, the offset below which everything is in the tables.
    pub(crate) fn confirmed(&self) -> BTreeMap<u16, u64> {
        let inserted = self.state().inserted_to.clone();
        inserted
            .into_iter()
            .filter_map(|(partition, to)| Some((u16::try_from(partition).ok()?, to)))
            .collect()
    }

    /// Whether the tables include all that was in the log of the owned partitions when this was last asked.
    pub(crate) fn includes_log(&self) -> bool {
        let mut progress = self.state();
        let includes = progress.owned.iter().all(|partition| {
            let before = progress.ends_before.get(partition);
            before.is_some_and(|before| progress.inserted_to.get(partition) >= Some(before))
        });
        let ends = &progress.log_ends;
        let now = progress.owned.iter().filter_map(|partition| Some((*partition, ends.get(partition)?.high)));
        progress.ends_before = now.collect();
        includes
    }

    /// Remembers which features a tally has accepted events of.
    pub(crate) fn accept(&self, tally: &Tally) {
        let mut progress = self.state();
        for (category, name) in tally.accepted_types() {
            let is_known = progress.features.get(category).is_some_and(|names| names.contains(name));
            if !is_known {
                progress.features.entry(category.into()).or_default().insert(name.into());
                progress.new_features.insert((category.into(), name.into()));
            }
        }
    }

    /// The features that were accepted for the first time since this was last asked.
    pub(crate) fn take_new_features(&self) -> BTreeSet<(String, String)> {
        std::mem::take(&mut self.state().new_features)
    }

    /// Records that the loop turned at `now`, and how far each running partition is judged.
    pub(crate) fn alive(&self, now: Instant, judged: BTreeMap<i32, (u64, Option<Witness>)>) {
        let mut progress = self.state();
        progress.alive = Some(now);
        progress.judged = judged;
    }

    /// For each running partition the last record that was judged.
    pub(crate) fn witnesses(&self) -> BTreeMap<i32, Witness> {
        let progress = self.state();
        progress.judged.iter().filter_map(|(partition, (_, last))| Some((*partition, (*last)?))).collect()
    }

    /// How far each partition is judged; `None` if the loop has not turned since.
    pub(crate) fn judged(&self, since: Instant) -> Option<BTreeMap<i32, u64>> {
        let progress = self.state();
        progress.alive.filter(|alive| *alive >= since)?;
        Some(progress.judged.iter().map(|(partition, (next, _))| (*partition, *next)).collect())
    }

    pub(crate) fn assignment(&self) -> u64 {
        self.state().assignment
    }

    /// How many erased sessions are in no table. Zero after a rebalance: new partitions may be erased only half.
    pub(crate) fn erased(&self) -> usize {
        let progress = self.state();
        let (sessions, assignment) = progress.erased;
        if assignment == progress.assignment { sessions } else { 0 }
    }

    pub(crate) fn set_erased(&self, sessions: usize, assignment: u64) {
        self.state().erased = (sessions, assignment);
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
