//! The loop: poll, judge, close chunks, announce and insert them. One thread does all polls and commits.
//!
//! ```text
//! poll -> record -> open chunk --full or due--> closed --intent committed--> insert --done--> the next
//!                                                  ^                            |
//!                                                  +--- unclear: intent again, compare, complete
//! ```
//!
//! Why a chunk can't be announced by a process that lost its partition: the coordinator refuses the
//! commit of a member that it has put out of the group; one that was put out, noticed and joined again has
//! polled its revocation, and the loop forgets a partition's state before it does anything else.
//! An insert is sent only right after its intent was committed, and tried again only after that was
//! committed again. So what a process that slept still sends is one insert at most, and only if it fell
//! asleep while sending; it goes under the id that the new owner uses as well.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::commit::intent;
use crate::commit::pace::Gaps;
use crate::commit::partition::{Partition, Stage};
use crate::commit::resume::{Commit, Plan, resume};
use crate::commit::settle::{Announced, Healed, settle};
use crate::commit::slot::{Slot, State};
use crate::config::ProjectorConfig;
use crate::error::{Error, Result};
use crate::judge::chunk::ClosedChunk;
use crate::judge::projection::Projection;
use crate::keep::heal::{is_included, judge_again, refresh_sequences};
use crate::keep::{erase, retention};
use crate::log::{self, Change, LogConsumer};
use crate::work::{Work, backoff};

/// Records between two looks at everything else, and their bytes: by so much, and a record, the chunks can exceed their memory.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 8 << 20;
/// The longest wait for a record: how late a task's report is seen.
const LONGEST_POLL: Duration = Duration::from_millis(20);
/// The same while a chunk is being inserted.
const REPORT_POLL: Duration = Duration::from_millis(2);
/// Nothing new for so long: the last chunk's commit is closed, so that no intent stays open.
const IDLE: Duration = Duration::from_secs(1);
/// So long a stop waits for inserts that are under way. Their intents stay open if it is too short.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

pub(crate) struct Loop {
    work: Arc<Work>,
    runtime: Handle,
    consumer: LogConsumer,
    slots: BTreeMap<i32, Slot>,
    /// Counts assignments: a task's report counts only if its slot is still the one that started it.
    epoch: u64,
    reports: (Sender<Report>, Receiver<Report>),
    /// Of all partitions that it owns.
    gaps: Gaps,
}

struct Report {
    partition: i32,
    epoch: u64,
    outcome: Outcome,
}

enum Outcome {
    Resumed(Result<Box<(Plan, Projection, Range<u64>)>>),
    Inserted(Result<Healed>),
    /// Some of the chunk had a verdict by other rules: this one keeps to them.
    JudgedAgain(Box<ClosedChunk>),
}

impl Loop {
    pub(crate) fn new(work: Arc<Work>, runtime: Handle, consumer: LogConsumer) -> Self {
        Self {
            work,
            runtime,
            consumer,
            slots: BTreeMap::new(),
            epoch: 0,
            reports: channel(),
            gaps: Gaps::of(1),
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
        }
        let deadline = Instant::now() + DRAIN;
        self.slots.retain(|_, slot| matches!(slot.state, State::Running(_)));
        for partition in self.slots.keys().copied().collect::<Vec<_>>() {
            self.pause(partition);
        }
        while !self.slots.is_empty() && Instant::now() < deadline {
            self.read()?;
            self.tend(Instant::now(), true);
            self.slots.retain(|_, slot| match &slot.state {
                State::Running(partition) => !partition.is_settled() || partition.owes_commit(),
                _ => false,
            });
        }
        if !self.slots.is_empty() {
            tracing::warn!(partitions = ?self.slots.keys(), "stopped before these were settled: the next owner verifies them");
        }
        Ok(())
    }

    /// Takes what librdkafka has, a batch at most, and stops at a full chunk.
    fn read(&mut self) -> Result<()> {
        let judge = self.work.judge.load();
        let mut wait = self.longest_wait(Instant::now());
        let (mut bytes, mut came) = (0, None);
        for _ in 0..BATCH {
            let Some(polled) = self.consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            // One moment for all: only the first was waited for.
            let now = *came.get_or_insert_with(Instant::now);
            match polled {
                Ok(message) => {
                    let record = log::record(&message);
                    bytes += record.value.map_or(0, <[u8]>::len);
                    let Some(Slot { state: State::Running(partition), .. }) =
                        self.slots.get_mut(&record.partition)
                    else {
                        continue;
                    };
                    partition.record(&judge, record, now);
                    if partition.is_full() || bytes > BATCH_BYTES {
                        break;
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    if let Some(Slot { state: State::Running(partition), .. }) =
                        self.slots.get_mut(&partition)
                    {
                        partition.reached_end(now);
                    }
                }
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)) => {
                    // The log does not have the offset that some partition asked for; which, is not said.
                    tracing::error!(
                        "the log lacks an offset that was to be read: looking again where to go on"
                    );
                    for partition in self.slots.keys().copied().collect::<Vec<_>>() {
                        self.restart(partition);
                    }
                    self.slots.values_mut().for_each(|slot| slot.must_assign = true);
                }
                // Brokers that don't answer and the like: librdkafka goes on by itself, and has said so.
                Err(error) => tracing::debug!(%error, "reading the log"),
            }
        }
        Ok(())
    }

    fn longest_wait(&self, now: Instant) -> Duration {
        let next = self.slots.values().filter_map(|slot| match &slot.state {
            State::Running(partition) => match &partition.in_flight {
                None => partition.due(now),
                Some(in_flight) => match in_flight.stage {
                    Stage::Announce(at) => Some(at),
                    Stage::AtWork => Some(now + REPORT_POLL),
                },
            },
            State::Waiting(at) => Some(*at),
            State::Resuming(_) => None,
        });
        next.min().map_or(LONGEST_POLL, |at| at.saturating_duration_since(now).min(LONGEST_POLL))
    }

    /// Everything but reading: rebalances first, so that nothing is committed for a lost partition.
    fn tend(&mut self, now: Instant, draining: bool) {
        self.rebalance(now);
        while let Ok(report) = self.reports.1.try_recv() {
            self.report(report, now);
        }
        self.resume_waiting(now);
        let crowded = self.account();
        for partition in self.slots.keys().copied().collect::<Vec<_>>() {
            self.advance(partition, now, crowded, draining);
        }
        let judged = self.slots.iter().filter_map(|(number, slot)| match &slot.state {
            State::Running(partition) => Some((*number, partition.projection.next)),
            _ => None,
        });
        self.work.alive(now, judged.collect());
    }

    fn rebalance(&mut self, now: Instant) {
        for change in self.consumer.context().take() {
            match change {
                Change::Assigned(partition) => {
                    self.epoch += 1;
                    self.slots.insert(partition, Slot::new(self.epoch, now));
                }
                Change::Revoked(partition) => {
                    self.slots.remove(&partition);
                }
            }
            tracing::info!(?change, "rebalance");
            self.gaps.partitions = self.slots.len().max(1);
            self.work.set_owned(self.slots.keys().copied().collect());
        }
    }

    fn report(&mut self, report: Report, now: Instant) {
        let Report { partition: number, epoch, outcome } = report;
        let Some(slot) = self.slots.get_mut(&number).filter(|slot| slot.epoch == epoch) else { return };
        match (outcome, &mut slot.state) {
            (Outcome::Resumed(Ok(resumed)), State::Resuming(_)) => {
                let (plan, projection, log) = *resumed;
                tracing::info!(partition = number, start = plan.start, verify_to = plan.verify_to, "running");
                slot.attempts = 0;
                if plan.verify_to <= plan.start {
                    self.work.set_inserted_to(number, plan.start);
                }
                let ProjectorConfig { chunks, judge, .. } = &self.work.config;
                let patience = Duration::from_secs(judge.registry_wait.into());
                let partition = Partition::new(plan, projection, chunks, patience, log.start, now);
                slot.state = State::Running(Box::new(partition));
            }
            (Outcome::Resumed(Err(error)), State::Resuming(_)) => {
                slot.attempts += 1;
                tracing::error!(partition = number, %error, "can't go on; trying again");
                slot.state = State::Waiting(now + backoff(slot.attempts));
            }
            (Outcome::Inserted(result), State::Running(partition)) => {
                let Some(in_flight) = &mut partition.in_flight else { return };
                match result {
                    Ok(healed) => {
                        self.work.inserted(number, &in_flight.chunk, healed);
                        partition.in_flight = None;
                    }
                    Err(error) => {
                        self.work.insert_failed(number, &error);
                        in_flight.attempts += 1;
                        in_flight.verify = true;
                        in_flight.stage = Stage::Announce(now + backoff(in_flight.attempts));
                        let range = in_flight.chunk.range();
                        tracing::warn!(partition = number, ?range, attempts = in_flight.attempts, %error, "insert");
                    }
                }
            }
            (Outcome::JudgedAgain(chunk), State::Running(partition)) => {
                let Some(in_flight) = &mut partition.in_flight else { return };
                // That took its time: the intent is committed again first.
                (in_flight.chunk, in_flight.stage) = (Arc::from(chunk), Stage::Announce(now));
            }
            // Of a state that was dropped: whoever follows verifies.
            _ => {}
        }
    }

    /// Asks the coordinator about the partitions that wait, and sets a task on each.
    fn resume_waiting(&mut self, now: Instant) {
        let due = |slot: &Slot| matches!(slot.state, State::Waiting(at) if at <= now);
        let waiting: Vec<i32> =
            self.slots.iter().filter(|(_, slot)| due(slot)).map(|(number, _)| *number).collect();
        if waiting.is_empty() {
            return;
        }
        let commits = self.commits(&waiting);
        for number in waiting {
            let Some(slot) = self.slots.get_mut(&number) else { continue };
            let commit = match &commits {
                Ok(commits) => commits.get(&number).cloned(),
                Err(error) => {
                    tracing::warn!(partition = number, %error, "the coordinator does not say what is committed");
                    slot.attempts += 1;
                    slot.state = State::Waiting(now + backoff(slot.attempts));
                    continue;
                }
            };
            let (work, reports, epoch) = (Arc::clone(&self.work), self.reports.0.clone(), slot.epoch);
            let resuming = self.runtime.spawn(async move {
                let resumed = async {
                    // One after the other: each may read a day's ids.
                    let _turn = work.resuming.acquire().await.map_err(|_| Error::Stopped)?;
                    let log = work.bounds(number).await?;
                    let judge = work.judge.load_full();
                    // Before the first record is judged, whoever found them.
                    erase::refresh(&work.erasures, &work.database).await?;
                    retention::declare(&work, number).await?;
                    let erasures = &work.erasures;
                    let window = work.config.judge.window();
                    let longest = work.config.chunks.chunk_rows as u64;
                    let commit = commit.as_ref();
                    let (plan, projection) =
                        resume(&work.database, &judge, erasures, number, &log, commit, window, longest)
                            .await?;
                    Ok(Box::new((plan, projection, log)))
                };
                let outcome = Outcome::Resumed(resumed.await);
                let _ = reports.send(Report { partition: number, epoch, outcome });
            });
            slot.state = State::Resuming(AbortOnDropHandle::new(resuming));
        }
    }

    fn commits(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Commit>> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.work.config.kafka.topic, *partition);
        }
        let found = self.consumer.committed_offsets(list, log::BROKER)?;
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
        let metrics = &self.work.metrics;
        let (mut bytes, mut ids, mut starting) = (0, 0, 0);
        for slot in self.slots.values_mut() {
            match &mut slot.state {
                State::Running(partition) => {
                    bytes += partition.bytes();
                    ids += partition.projection.window.len();
                    self.work.count(&mut partition.projection.tally);
                }
                _ => starting += 1,
            }
        }
        metrics.chunk_bytes.set(bytes as i64);
        metrics.window_ids.set(ids as i64);
        metrics.partitions.set(self.slots.len() as i64);
        metrics.partitions_starting.set(starting);
        bytes > self.work.config.chunks.chunk_memory
    }

    /// Moves one partition on: closes its chunk, announces it, pauses or goes on reading.
    fn advance(&mut self, number: i32, now: Instant, crowded: bool, draining: bool) {
        let log_end = self.work.log_end(number);
        let Some(Slot { state: State::Running(partition), .. }) = self.slots.get_mut(&number) else { return };
        if let Some(log_end) = log_end {
            partition.compare_with_end(log_end, now);
            if !draining {
                partition.look_behind_end(log_end);
            }
        }
        partition.fill_gap(now);
        let due = partition.due(now).is_some_and(|due| due <= now || crowded || draining);
        if partition.in_flight.is_none() && due {
            partition.close(now, &mut self.gaps);
            partition.fill_gap(now);
        }
        match &partition.in_flight {
            Some(in_flight) if matches!(in_flight.stage, Stage::Announce(at) if at <= now) => {
                self.announce(number);
            }
            Some(_) => {}
            None => self.close_commit(number, now, draining),
        }
        let Some(partition) = self.running(number) else { return };
        let is_waiting = partition.is_waiting(now);
        let hold =
            draining || is_waiting || partition.is_full() || (crowded && partition.in_flight.is_some());
        match (hold, partition.is_paused) {
            (true, false) => self.pause(number),
            (false, true) => self.go_on(number, now),
            (false, false) if partition.must_seek => self.go_on(number, now),
            _ => {}
        }
    }

    /// Commits the intent and, if the coordinator took it, sets the insert on its way.
    fn announce(&mut self, number: i32) {
        let Some(slot) = self.slots.get_mut(&number) else { return };
        let State::Running(partition) = &mut slot.state else { return };
        let Some(in_flight) = &mut partition.in_flight else { return };
        let range = in_flight.chunk.range();
        partition.committed_to = None;
        if let Err(error) =
            commit(&self.consumer, &self.work, number, range.start, &intent::metadata(range.end))
        {
            tracing::warn!(partition = number, ?range, %error, "intent refused: the chunk is dropped");
            return self.restart(number);
        }
        let announced = Announced::now();
        in_flight.stage = Stage::AtWork;
        let (chunk, verify) = (Arc::clone(&in_flight.chunk), in_flight.verify);
        let (work, reports, epoch) = (Arc::clone(&self.work), self.reports.0.clone(), slot.epoch);
        let span = chunk.span(number);
        let insert = async move {
            let outcome = match verify {
                true => verified(&work, number, &chunk, announced).await,
                false => Outcome::Inserted(inserted(&work, number, &chunk, announced).await),
            };
            let _ = reports.send(Report { partition: number, epoch, outcome });
        };
        self.runtime.spawn(insert.instrument(span));
    }

    /// Says that nothing is under way any more, once nothing has been for a while.
    fn close_commit(&mut self, number: i32, now: Instant, draining: bool) {
        let Some(Slot { state: State::Running(partition), .. }) = self.slots.get_mut(&number) else { return };
        let next = partition.projection.next;
        let idle = draining || now.duration_since(partition.last_record) > IDLE;
        if !idle || !partition.is_settled() || !partition.owes_commit() {
            return;
        }
        match commit(&self.consumer, &self.work, number, next, "") {
            Ok(()) => partition.committed_to = Some(next),
            Err(error) => {
                tracing::warn!(partition = number, %error, "commit refused");
                self.restart(number);
            }
        }
    }

    /// Forgets a partition's state and looks again where to go on, as after an assignment.
    fn restart(&mut self, number: i32) {
        self.pause(number);
        self.epoch += 1;
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.epoch = self.epoch;
            slot.attempts += 1;
            slot.state = State::Waiting(Instant::now() + backoff(slot.attempts));
        }
    }

    fn pause(&mut self, number: i32) {
        let list = self.list(number);
        if let Err(error) = self.consumer.pause(&list) {
            tracing::warn!(partition = number, %error, "pause");
        }
        if let Some(partition) = self.running(number) {
            partition.is_paused = true;
            partition.must_seek = true;
        }
    }

    fn go_on(&mut self, number: i32, now: Instant) {
        let list = self.list(number);
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.go_on(&self.consumer, &list, now);
        }
    }

    fn running(&mut self, number: i32) -> Option<&mut Partition> {
        self.slots.get_mut(&number)?.running()
    }

    fn list(&self, number: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.work.config.kafka.topic, number);
        list
    }
}

async fn inserted(work: &Work, number: i32, chunk: &ClosedChunk, announced: Announced) -> Result<Healed> {
    let id = work.database.insert_id(number, &chunk.range());
    let _timer = work.metrics.insert_seconds.start_timer();
    announced.check()?;
    work.database.insert(&id, &id, chunk.block(&chunk.targets)).await?;
    Ok(Healed::default())
}

/// Completes a chunk of which rows may be there, or judges it again.
async fn verified(work: &Work, number: i32, chunk: &ClosedChunk, announced: Announced) -> Outcome {
    let Work { config, database, erasures, turn, .. } = work;
    let settled = match settle(database, number, chunk, announced).await {
        Err(Error::Disputed) => {
            let judge = work.judge.load_full();
            match judge_again(config, database, &judge, erasures, number, chunk.range()).await {
                Ok(chunk) => return Outcome::JudgedAgain(Box::new(chunk)),
                Err(error) => Err(error),
            }
        }
        Ok(healed) if healed.has_changed() => {
            let refreshed = async {
                if chunk.is_judged_again || is_included(database, number, chunk).await? {
                    let _turn = turn.lock().await;
                    refresh_sequences(database, number, chunk, healed).await?;
                }
                Ok(healed)
            };
            refreshed.await
        }
        settled => settled,
    };
    Outcome::Inserted(settled)
}

/// One partition a commit: librdkafka does not tell which of several was refused.
fn commit(consumer: &LogConsumer, work: &Work, number: i32, offset: u64, metadata: &str) -> Result<()> {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(&work.config.kafka.topic, number);
    element.set_offset(Offset::Offset(offset as i64))?;
    element.set_metadata(metadata);
    Ok(consumer.commit(&list, CommitMode::Sync)?)
}
