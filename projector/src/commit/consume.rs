//! The loop: poll, judge, close chunks, announce and insert them. One thread does all polls and commits.
//!
//! ```text
//! poll -> record -> open chunk --full or due--> closed --intent committed--> insert --done--> the next
//!                                                  ^                            |
//!                                                  +--- unclear: intent again, compare, complete
//! ```
//!
//! A process that lost its partition can't announce a chunk. The coordinator refuses the commit of a member that it has
//! put out of the group. A member that was put out, noticed it and joined again has polled its revocation, and the loop
//! forgets a partition's state before it does anything else. An insert is sent only right after its intent was committed,
//! and tried again only after the intent was committed again. So a process that slept sends one insert at most, and only
//! if it fell asleep while sending. That insert goes under the id that the new owner uses as well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use crate::commit::pace::Gaps;
use crate::commit::resume::Commit;
use crate::commit::slot::{Group, Now, Report, Slot};
use crate::error::Result;
use crate::log::{self, Change, LogConsumer};
use crate::work::Work;

/// Records between two looks at everything else, and their bytes: by so much, and a record, the chunks can exceed their
/// memory.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 8 << 20;
/// The longest wait for a record: how late a task's report is seen.
const LONGEST_POLL: Duration = Duration::from_millis(20);
/// How long a stop waits for inserts that are under way. If it is too short, their intents stay open.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

pub(crate) struct Loop {
    group: Group,
    reports: Receiver<Report>,
    slots: BTreeMap<i32, Slot>,
    /// Of all partitions that it owns.
    gaps: Gaps,
}

impl Loop {
    pub(crate) fn new(work: Arc<Work>, runtime: Handle, consumer: LogConsumer) -> Self {
        let (sender, reports) = channel();
        let group = Group::new(work, runtime, consumer, sender);
        Self { group, reports, slots: BTreeMap::new(), gaps: Gaps::of(1) }
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

    /// Takes what librdkafka has, a batch at most, and stops at a full chunk.
    fn read(&mut self) -> Result<()> {
        let judge = self.group.work.judge.load();
        let mut wait = self.longest_wait(Instant::now());
        let (mut bytes, mut came) = (0, None);
        for _ in 0..BATCH {
            let Some(polled) = self.group.consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            // One moment for all: only the first was waited for.
            let now = *came.get_or_insert_with(Instant::now);
            match polled {
                Ok(message) => {
                    let record = log::record(&message);
                    bytes += record.value.map_or(0, <[u8]>::len);
                    let slot = self.slots.get_mut(&record.partition);
                    let Some(partition) = slot.and_then(Slot::running) else { continue };
                    partition.record(&judge, record, now);
                    if partition.is_full() || bytes > BATCH_BYTES {
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
                    for slot in self.slots.values_mut() {
                        slot.restart(&self.group);
                        slot.must_assign = true;
                    }
                }
                // Brokers that don't answer and the like: librdkafka goes on by itself, and has said so.
                Err(error) => tracing::debug!(%error, "reading the log"),
            }
        }
        Ok(())
    }

    fn longest_wait(&self, now: Instant) -> Duration {
        let next = self.slots.values().filter_map(|slot| slot.due(now)).min();
        next.map_or(LONGEST_POLL, |at| at.saturating_duration_since(now).min(LONGEST_POLL))
    }

    /// Everything but reading: rebalances first, so that nothing is committed for a lost partition.
    fn tend(&mut self, now: Instant, is_draining: bool) {
        self.rebalance(now);
        while let Ok(Report { partition, epoch, outcome }) = self.reports.try_recv() {
            if let Some(slot) = self.slots.get_mut(&partition).filter(|slot| slot.epoch == epoch) {
                slot.report(&self.group, outcome, now);
            }
        }
        self.resume_waiting(now);
        let now = Now { at: now, is_crowded: self.account(), is_draining };
        for slot in self.slots.values_mut() {
            slot.advance(&self.group, &mut self.gaps, now);
        }
        let judged = self
            .slots
            .iter_mut()
            .filter_map(|(partition, slot)| Some((*partition, slot.running()?.projection.next)));
        self.group.work.progress.alive(now.at, judged.collect());
    }

    fn rebalance(&mut self, now: Instant) {
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
            self.gaps.partitions = self.slots.len().max(1);
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
                    work.metrics.count(&mut partition.projection.tally);
                }
                None => starting += 1,
            }
        }
        work.metrics.chunk_bytes.set(bytes as i64);
        work.metrics.window_ids.set(ids as i64);
        work.metrics.partitions.set(self.slots.len() as i64);
        work.metrics.partitions_starting.set(starting);
        bytes > work.config.chunks.chunk_memory
    }
}
