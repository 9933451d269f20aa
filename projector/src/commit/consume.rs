//! The loop: poll, judge, close a round of chunks, announce and insert it. One thread does all polls and commits.
//!
//! ```text
//! poll -> record -> open chunk of its partition
//! all open chunks --due or full--> round --intents committed--> one insert --done--> the next round
//!                                                                  |
//!                                                                  +--- unclear: each partition by itself:
//!                                                                       intent again, compare, complete
//! ```
//!
//! At most two rounds are under way: one is inserted while the next one is read and judged. A partition whose chunk is
//! compared is in no round until that is done, and holds up nobody.
//!
//! A process that lost a partition can't announce a chunk of it. The coordinator refuses the commit of a member that it
//! has put out of the group. A member that was put out, noticed it and joined again has polled its revocation, and the
//! loop forgets a partition's state before it does anything else. An insert is sent only right after its intents were
//! committed, and tried again only after they were committed again. So a process that slept sends one insert at most,
//! and only if it fell asleep while sending. That insert has the token that the new owners of its partitions use as
//! well.
//!
//! The first insert under a token counts, and ClickHouse drops the other one *as a whole*. So if a partition of a round
//! changes hands while the round is inserted, ClickHouse's answer says nothing of the other partitions: they are
//! compared. Decision 0023 has the whole argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use infra::traces;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tracing::Instrument;

use crate::commit::attempt::insert;
use crate::commit::intent::{self, new_round};
use crate::commit::pace::{Open, Pace};
use crate::commit::partition::Stage;
use crate::commit::resume::Commit;
use crate::commit::settle::Announced;
use crate::commit::slot::{Group, Now, Report, Slot};
use crate::error::{Error, Result};
use crate::log::{self, Change, LogConsumer};
use crate::work::Work;

/// How many records, and bytes of them, the loop takes before it looks at anything else. The chunks can exceed their
/// memory by one batch.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 8 << 20;
/// The longest wait for a record: how late a task's report is seen.
const LONGEST_POLL: Duration = Duration::from_millis(20);
/// How long a full round that can't close yet keeps the loop from polling. To pause partitions costs what was fetched.
const FULL: Duration = Duration::from_secs(1);
/// How long a consumer that joined because of a stalled partition is given; doubled each time.
const JOIN_AGAIN: Duration = Duration::from_secs(60);
const LONGEST_JOIN_AGAIN: Duration = Duration::from_secs(3600);
/// How long a stop waits for inserts that are under way. If it is too short, their intents stay open.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

pub(crate) struct Loop {
    group: Group,
    reports: Receiver<Report>,
    slots: BTreeMap<i32, Slot>,
    pace: Pace,
    /// The partitions of the round that is being inserted, each with the epoch of its slot.
    at_work: Option<Vec<(i32, u64)>>,
    /// Since when the next round is full and can't close.
    full_since: Option<Instant>,
    /// When it joins the group again at the earliest, and how long it waits after that.
    join_again: (Instant, Duration),
    /// By partition of which librdkafka brings nothing: the offset at which it stands still.
    stalled: BTreeMap<i32, u64>,
}

impl Loop {
    pub(crate) fn new(work: Arc<Work>, runtime: Handle, consumer: LogConsumer) -> Self {
        let (sender, reports) = channel();
        let pace = Pace::new(&work.config.chunks);
        let group = Group::new(work, runtime, consumer, sender);
        let join_again = (Instant::now(), JOIN_AGAIN);
        Self {
            group,
            reports,
            slots: BTreeMap::new(),
            pace,
            at_work: None,
            full_since: None,
            join_again,
            stalled: BTreeMap::new(),
        }
    }

    /// Runs until `stop` is set, then inserts what was read and leaves the group.
    ///
    /// # Errors
    /// Only what no retry can mend: librdkafka has given up.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.read()?;
            self.tend(Instant::now(), false);
            self.join_if_stalled(Instant::now())?;
        }
        let deadline = Instant::now() + DRAIN;
        self.slots.retain(|_, slot| slot.running().is_some());
        self.slots.values_mut().for_each(|slot| slot.pause(&self.group));
        while !self.slots.is_empty() && Instant::now() < deadline {
            self.read()?;
            self.tend(Instant::now(), true);
            self.slots.retain(|_, slot| {
                slot.running().is_some_and(|partition| !partition.is_settled() || partition.owes_commit())
            });
        }
        if !self.slots.is_empty() {
            tracing::warn!(
                partitions = ?self.slots.keys(),
                "stopped before these were settled: the next owner verifies them"
            );
        }
        Ok(())
    }

    /// Takes what librdkafka has, a batch at most, and stops at a full round.
    fn read(&mut self) -> Result<()> {
        let now = Instant::now();
        let mut open = self.open(now);
        if self.pace.is_full(&open)
            && self.at_work.is_some()
            && *self.full_since.get_or_insert(now) + FULL > now
        {
            if let Ok(report) = self.reports.recv_timeout(LONGEST_POLL) {
                self.report(report, Instant::now());
            }
            return Ok(());
        }
        let judge = self.group.work.judge.load();
        let mut wait = self.longest_wait(&open, now);
        let (mut bytes, mut came) = (0, None);
        for _ in 0..BATCH {
            let Some(polled) = self.group.consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            // One moment for all: only the first was waited for.
            let now = *came.get_or_insert_with(Instant::now);
            match polled {
                Ok(message) => {
                    let record = log::record(&message);
                    let size = record.value.map_or(0, <[u8]>::len);
                    bytes += size;
                    let slot = self.slots.get_mut(&record.partition);
                    let Some(partition) = slot.and_then(Slot::running) else { continue };
                    partition.record(&judge, record, now);
                    (open.rows, open.bytes) = (open.rows + 1, open.bytes + size);
                    open.is_full |= partition.is_full();
                    if bytes > BATCH_BYTES || self.pace.is_full(&open) {
                        break;
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    if let Some(partition) = self.slots.get_mut(&partition).and_then(Slot::running) {
                        partition.reached_end(now);
                    }
                }
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)) => {
                    // The log does not have the offset that some partition asked for; which, is not said.
                    tracing::error!(
                        "the log lacks an offset that was to be read: looking again where to go on"
                    );
                    self.group.work.log_error.notify_one();
                    for slot in self.slots.values_mut() {
                        slot.restart(&self.group);
                        slot.must_assign = true;
                    }
                }
                // Brokers that don't answer and the like: librdkafka goes on by itself, and has said so.
                Err(error) => {
                    tracing::debug!(%error, "reading the log");
                    self.group.work.log_error.notify_one();
                }
            }
        }
        Ok(())
    }

    fn longest_wait(&self, open: &Open, now: Instant) -> Duration {
        // Members of a round that is at work wait for its report.
        let round = self.pace.due(open).filter(|_| self.at_work.is_none());
        let next = self.slots.values().filter_map(|slot| slot.due(now)).chain(round).min();
        next.map_or(LONGEST_POLL, |at| at.saturating_duration_since(now).min(LONGEST_POLL))
    }

    /// Everything but reading: rebalances first, so that nothing is committed for a lost partition.
    fn tend(&mut self, now: Instant, is_draining: bool) {
        self.rebalance(now);
        for (partition, offset) in self.group.work.progress.take_suspects() {
            if let Some(slot) = self.slots.get_mut(&partition) {
                slot.suspect = Some(offset);
                slot.restart(&self.group);
            }
        }
        while let Ok(report) = self.reports.try_recv() {
            self.report(report, now);
        }
        self.resume_waiting(now);
        let is_full = self.at_work.is_some() && self.full_since.is_some_and(|since| since + FULL <= now);
        let now = Now { at: now, is_crowded: self.account(), is_full, is_draining };
        for slot in self.slots.values_mut() {
            slot.advance(&self.group, now);
        }
        self.close_round(now);
        self.close_commits(now);
        let judged = self.slots.iter_mut().filter_map(|(partition, slot)| {
            let projection = &slot.running()?.projection;
            Some((*partition, (projection.next, projection.last)))
        });
        self.group.work.progress.alive(now.at, judged.collect());
        let (slots, joined_lately) = (&mut self.slots, now.at < self.join_again.0);
        let was_stalled = !self.stalled.is_empty();
        self.stalled.retain(|partition, offset| match slots.get_mut(partition) {
            Some(slot) => slot.running().is_none_or(|running| running.projection.next <= *offset),
            None => joined_lately,
        });
        if was_stalled && self.stalled.is_empty() {
            // The new consumer has mended it.
            self.join_again = (now.at, JOIN_AGAIN);
        }
        self.group.work.progress.set_stalled(&self.stalled);
    }

    fn report(&mut self, report: Report, now: Instant) {
        match report {
            Report::Slot(partition, epoch, outcome) => {
                if let Some(slot) = self.slots.get_mut(&partition).filter(|slot| slot.epoch == epoch) {
                    slot.report(&self.group, outcome, now);
                }
            }
            Report::Round(inserted) => {
                let members = self.at_work.take().unwrap_or_default();
                self.full_since = None;
                let epoch = |partition| self.slots.get(partition).map(|slot| slot.epoch);
                // One that changed hands: its new owner may have taken the token.
                let is_whole = members.iter().all(|(partition, of)| epoch(partition) == Some(*of));
                let inserted = if is_whole { inserted } else { inserted.and(Err(Error::Late)) };
                if let Err(error) = &inserted {
                    if !matches!(error, Error::Late) {
                        self.group.work.metrics.insert_errors.inc();
                    }
                    tracing::warn!(partitions = members.len(), %error, "a round: each partition is compared");
                }
                for (partition, epoch) in members {
                    if let Some(slot) = self.slots.get_mut(&partition).filter(|slot| slot.epoch == epoch) {
                        slot.inserted(&self.group, &inserted, now);
                    }
                }
            }
        }
    }

    /// Joins the group again with a new consumer if the coordinator does not know the group, or if librdkafka brings
    /// nothing of a partition that has records. A consumer that has seen a leader epoch never fetches from a leader
    /// with a lower one, which an older copy of the brokers' data has.
    fn join_if_stalled(&mut self, now: Instant) -> Result<()> {
        let (earliest, pause) = self.join_again;
        if self.at_work.is_some() {
            return Ok(());
        }
        if self.group.is_unknown.take() {
            tracing::error!("the coordinator does not know the group: joining it with a new consumer");
            return self.join();
        }
        if now < earliest {
            return Ok(());
        }
        let stalled = self.slots.iter_mut().filter_map(|(partition, slot)| {
            let running = slot.running().filter(|running| running.is_stalled(now))?;
            Some((*partition, running.projection.next))
        });
        let stalled: BTreeMap<i32, u64> = stalled.collect();
        if stalled.is_empty() {
            return Ok(());
        }
        tracing::error!(
            ?stalled,
            "the log has records at these offsets and librdkafka brings none: joining the group with a new consumer"
        );
        self.stalled = stalled;
        self.join_again = (now + pause, (pause * 2).min(LONGEST_JOIN_AGAIN));
        self.join()
    }

    fn join(&mut self) -> Result<()> {
        self.slots.clear();
        let Group { work, consumer, .. } = &mut self.group;
        work.progress.set_owned(Vec::new());
        let config = &work.config;
        let group = config.group_of(work.database.generation);
        *consumer = log::group_consumer(&config.kafka, &group, config.group.group_protocol)?;
        Ok(())
    }

    /// The chunks that the next round would have.
    fn open(&mut self, now: Instant) -> Open {
        let mut open = Open::default();
        for slot in self.slots.values_mut() {
            if let Some(partition) = slot.running() {
                partition.add_to(&mut open, now);
            }
        }
        open
    }

    /// Closes the open chunks, commits their intents and, if the coordinator took them, sets the insert on its way.
    fn close_round(&mut self, now: Now) {
        let open = self.open(now.at);
        let hurries = now.is_crowded || now.is_draining || self.pace.is_full(&open);
        if self.at_work.is_some() || !self.pace.due(&open).is_some_and(|due| hurries || due <= now.at) {
            return;
        }
        self.full_since = None;
        self.pace.closed(now.at);
        let round = new_round();
        let (mut members, mut intents, mut chunks) = (Vec::new(), Vec::new(), Vec::new());
        let mut names = Vec::new();
        for (partition, slot) in self.close_chunks(&round, now.at) {
            let epoch = slot.epoch;
            let Some(in_flight) = slot.running().and_then(|running| running.in_flight.as_ref()) else {
                continue;
            };
            let range = in_flight.chunk.range();
            names.push(format!("{partition}:{}-{}", range.start, range.end));
            intents.push((partition, range.start, intent::metadata(range.end, &round)));
            members.push((partition, epoch));
            chunks.push(Arc::clone(&in_flight.chunk));
        }
        if let Err(error) = self.group.commit(intents) {
            tracing::warn!(%error, "intents refused: the round is dropped");
            for slot in members.iter().map(|(partition, _)| partition) {
                if let Some(slot) = self.slots.get_mut(slot) {
                    slot.restart(&self.group);
                }
            }
            return;
        }
        let announced = Announced::now();
        let span = tracing::info_span!(target: traces::TARGET, "insert", chunks = names.join(" "));
        chunks.iter().for_each(|chunk| chunk.link(&span));
        let work = Arc::clone(&self.group.work);
        let inserting = async move { insert(&work, &round, &chunks, announced).await };
        self.group.spawn(inserting.instrument(span), Report::Round);
        self.at_work = Some(members);
    }

    /// Closes the chunks of a round, the oldest first, as many as the limits of an insert allow, but at least one.
    fn close_chunks(&mut self, round: &Arc<str>, now: Instant) -> impl Iterator<Item = (i32, &mut Slot)> {
        let mut open: Vec<(i32, &mut Slot, Open)> = Vec::new();
        for (partition, slot) in &mut self.slots {
            let mut of = Open::default();
            if let Some(running) = slot.running() {
                running.add_to(&mut of, now);
                if of.rows > 0 {
                    open.push((*partition, slot, of));
                }
            }
        }
        open.sort_by_key(|(.., of)| of.oldest);
        let limits = &self.group.work.config.chunks;
        let (mut rows, mut bytes) = (0, 0);
        let closed = open.into_iter().take_while(move |(.., of)| {
            (rows, bytes) = (rows + of.rows, bytes + of.bytes);
            rows == of.rows || (rows <= limits.chunk_rows as u64 && bytes <= limits.chunk_bytes)
        });
        let round = Arc::clone(round);
        closed.map(move |(partition, slot, _)| {
            if let Some(running) = slot.running() {
                running.close(&round, Stage::InRound);
                running.committed_to = None;
                running.fill_gap(now);
            }
            (partition, slot)
        })
    }

    /// Says of partitions that nothing is under way any more.
    fn close_commits(&mut self, now: Now) {
        let owed =
            self.slots.iter_mut().filter_map(|(partition, slot)| Some((*partition, slot.owed_commit(now)?)));
        let owed: Vec<(i32, u64)> = owed.collect();
        if owed.is_empty() {
            return;
        }
        let committed =
            self.group.commit(owed.iter().map(|(partition, next)| (*partition, *next, String::new())));
        if let Err(error) = &committed {
            tracing::warn!(%error, "commit refused");
        }
        for (partition, next) in owed {
            let Some(slot) = self.slots.get_mut(&partition) else { continue };
            match (&committed, slot.running()) {
                (Ok(()), Some(running)) => running.committed_to = Some(next),
                _ => slot.restart(&self.group),
            }
        }
    }

    fn rebalance(&mut self, now: Instant) {
        self.pace.share(self.slots.len(), self.group.work.progress.partitions());
        for change in self.group.consumer.context().take() {
            match change {
                Change::Assigned(partition) => {
                    self.slots.insert(partition, Slot::new(&self.group, partition, now));
                }
                Change::Revoked(partition) => {
                    self.slots.remove(&partition);
                }
            }
            tracing::info!(?change, "rebalance");
            self.group.work.progress.set_owned(self.slots.keys().copied().collect());
        }
    }

    /// Asks the coordinator about the partitions that wait, and sets a task on each.
    fn resume_waiting(&mut self, now: Instant) {
        let waiting = || self.slots.iter().filter(|(_, slot)| slot.waits_to_resume(now));
        let waiting: Vec<i32> = waiting().map(|(partition, _)| *partition).collect();
        if waiting.is_empty() {
            return;
        }
        let mut commits = self.commits(&waiting);
        for partition in waiting {
            let Some(slot) = self.slots.get_mut(&partition) else { continue };
            match &mut commits {
                Ok(commits) => slot.resume(&self.group, commits.remove(&partition)),
                Err(error) => {
                    tracing::warn!(partition, %error, "the coordinator does not say what is committed");
                    slot.wait(now);
                }
            }
        }
    }

    fn commits(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Commit>> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.group.work.config.kafka.topic, *partition);
        }
        let found = self.group.consumer.committed_offsets(list, log::BROKER)?;
        let mut commits = BTreeMap::new();
        for element in found.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                let commit = Commit { offset: offset as u64, metadata: element.metadata().to_owned() };
                commits.insert(element.partition(), commit);
            }
        }
        Ok(commits)
    }

    /// Sums up for the metrics; whether the chunks take more memory than they may.
    fn account(&mut self) -> bool {
        let work = &self.group.work;
        let (mut bytes, mut ids, mut starting) = (0, 0, 0);
        for slot in self.slots.values_mut() {
            match slot.running() {
                Some(partition) => {
                    bytes += partition.bytes();
                    ids += partition.projection.window.len();
                    work.progress.accept(&partition.projection.tally);
                    work.metrics.count(&mut partition.projection.tally);
                }
                None => starting += 1,
            }
        }
        work.metrics.chunk_bytes.set(bytes as i64);
        work.metrics.window_ids.set(ids as i64);
        work.metrics.owns(self.slots.len(), &work.database.name);
        work.metrics.partitions_starting.set(starting);
        bytes > work.config.chunks.chunk_memory
    }
}
