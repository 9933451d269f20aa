//! An owned partition as the loop keeps it (waiting to be resumed, being resumed, or running), and what the loop does
//! with it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::commit::attempt::{Attempted, attempt};
use crate::commit::intent;
use crate::commit::pace::Gaps;
use crate::commit::partition::{Partition, Stage};
use crate::commit::resume::{Commit, Resumed, resume};
use crate::commit::settle::Announced;
use crate::error::Result;
use crate::log::LogConsumer;
use crate::work::{Work, backoff};

/// A seek that is refused for so long will always be.
const REFUSED: Duration = Duration::from_secs(10);
/// Nothing new for so long: the last chunk's commit is closed, so that no intent stays open.
const IDLE: Duration = Duration::from_secs(1);
/// How late a task's report is seen while a chunk is being inserted.
const REPORT_POLL: Duration = Duration::from_millis(2);

/// What the slots share: the member of the consumer group, and the tasks that it starts.
pub(crate) struct Group {
    pub work: Arc<Work>,
    pub consumer: LogConsumer,
    runtime: Handle,
    reports: Sender<Report>,
    /// Counts assignments and restarts: a task's report counts only if its slot is still the one that started it.
    epoch: Cell<u64>,
}

/// What a task found out.
pub(crate) struct Report {
    pub partition: i32,
    pub epoch: u64,
    pub outcome: Outcome,
}

pub(crate) enum Outcome {
    Resumed(Result<Box<Resumed>>),
    Attempted(Attempted),
}

/// The moment of a turn of the loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub at: Instant,
    /// The chunks take more memory than they may.
    pub is_crowded: bool,
    pub is_draining: bool,
}

pub(crate) struct Slot {
    partition: i32,
    /// Of the assignment, or of the last restart.
    pub epoch: u64,
    attempts: u32,
    state: State,
    /// librdkafka has stopped fetching: only a new assignment sets it going again.
    pub must_assign: bool,
    /// Since when librdkafka refuses to be set to an offset; after an assignment it does so for some moments.
    seek_refused: Option<Instant>,
}

enum State {
    /// To be resumed, not before this moment.
    Waiting(Instant),
    /// Dropped with the partition: others wait for its turn.
    Resuming(#[expect(dead_code, reason = "ends the task")] AbortOnDropHandle<()>),
    Running(Box<Partition>),
}

impl Group {
    pub(crate) fn new(
        work: Arc<Work>,
        runtime: Handle,
        consumer: LogConsumer,
        reports: Sender<Report>,
    ) -> Self {
        Self { work, consumer, runtime, reports, epoch: Cell::new(0) }
    }

    fn next_epoch(&self) -> u64 {
        self.epoch.set(self.epoch.get() + 1);
        self.epoch.get()
    }

    fn list(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.work.config.kafka.topic, partition);
        list
    }

    /// One partition a commit: librdkafka does not tell which of several was refused.
    fn commit(&self, partition: i32, offset: u64, metadata: &str) -> Result<()> {
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.work.config.kafka.topic, partition);
        element.set_offset(Offset::Offset(offset as i64))?;
        element.set_metadata(metadata);
        Ok(self.consumer.commit(&list, CommitMode::Sync)?)
    }
}

impl Slot {
    pub(crate) fn new(group: &Group, partition: i32, now: Instant) -> Self {
        Self {
            partition,
            epoch: group.next_epoch(),
            attempts: 0,
            state: State::Waiting(now),
            must_assign: false,
            seek_refused: None,
        }
    }

    pub(crate) fn running(&mut self) -> Option<&mut Partition> {
        match &mut self.state {
            State::Running(partition) => Some(partition),
            _ => None,
        }
    }

    pub(crate) fn waits_to_resume(&self, now: Instant) -> bool {
        matches!(self.state, State::Waiting(at) if at <= now)
    }

    /// When there is something to do with it, if that is known.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        match &self.state {
            State::Running(partition) => match &partition.in_flight {
                None => partition.due(now),
                Some(in_flight) => match in_flight.stage {
                    Stage::Announce(at) => Some(at),
                    Stage::AtWork => Some(now + REPORT_POLL),
                },
            },
            State::Waiting(at) => Some(*at),
            State::Resuming(_) => None,
        }
    }

    /// Sets a task on finding out where to go on.
    pub(crate) fn resume(&mut self, group: &Group, commit: Option<Commit>) {
        let (work, reports) = (Arc::clone(&group.work), group.reports.clone());
        let (partition, epoch) = (self.partition, self.epoch);
        let resuming = group.runtime.spawn(async move {
            let outcome = Outcome::Resumed(resume(&work, partition, commit).await.map(Box::new));
            let _ = reports.send(Report { partition, epoch, outcome });
        });
        self.state = State::Resuming(AbortOnDropHandle::new(resuming));
    }

    /// Something failed: later again.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.attempts += 1;
        self.state = State::Waiting(now + backoff(self.attempts));
    }

    /// Forgets the partition's state and looks again where to go on, as after an assignment.
    pub(crate) fn restart(&mut self, group: &Group) {
        self.pause(group);
        self.epoch = group.next_epoch();
        self.wait(Instant::now());
    }

    pub(crate) fn report(&mut self, group: &Group, outcome: Outcome, now: Instant) {
        let partition = self.partition;
        match (outcome, &mut self.state) {
            (Outcome::Resumed(Ok(resumed)), State::Resuming(_)) => {
                let Resumed { plan, projection, log } = *resumed;
                tracing::info!(partition, start = plan.start, verify_to = plan.verify_to, "running");
                self.attempts = 0;
                if plan.verify_to <= plan.start {
                    group.work.progress.set_inserted_to(partition, plan.start);
                }
                let config = &group.work.config;
                let patience = Duration::from_secs(config.judge.registry_wait.into());
                let running = Partition::new(plan, projection, &config.chunks, patience, log.start, now);
                self.state = State::Running(Box::new(running));
            }
            (Outcome::Resumed(Err(error)), State::Resuming(_)) => {
                tracing::error!(partition, %error, "can't go on; trying again");
                self.wait(now);
            }
            (Outcome::Attempted(attempted), State::Running(running)) => {
                let Some(in_flight) = &mut running.in_flight else { return };
                match attempted {
                    Attempted::Inserted(healed) => {
                        group.work.progress.inserted(partition, &in_flight.chunk, healed);
                        running.in_flight = None;
                    }
                    // That took its time: the intent is committed again first.
                    Attempted::JudgedAgain(chunk) => {
                        (in_flight.chunk, in_flight.stage) = (Arc::from(chunk), Stage::Announce(now));
                    }
                    Attempted::Failed(error) => {
                        group.work.progress.insert_failed(partition, &error);
                        in_flight.attempts += 1;
                        in_flight.verify = true;
                        in_flight.stage = Stage::Announce(now + backoff(in_flight.attempts));
                        let (range, attempts) = (in_flight.chunk.range(), in_flight.attempts);
                        tracing::warn!(partition, ?range, attempts, %error, "insert");
                    }
                }
            }
            // Of a state that was dropped: whoever follows verifies.
            _ => {}
        }
    }

    /// Moves the partition on: closes its chunk, announces it, pauses or goes on reading.
    pub(crate) fn advance(&mut self, group: &Group, gaps: &mut Gaps, now: Now) {
        let log_end = group.work.progress.log_end(self.partition);
        let Some(partition) = self.running() else { return };
        if let Some(log_end) = log_end {
            partition.compare_with_end(log_end, now.at);
            if !now.is_draining {
                partition.look_behind_end(log_end);
            }
        }
        partition.fill_gap(now.at);
        let is_due =
            partition.due(now.at).is_some_and(|due| due <= now.at || now.is_crowded || now.is_draining);
        if partition.in_flight.is_none() && is_due {
            partition.close(now.at, gaps);
            partition.fill_gap(now.at);
        }
        match &partition.in_flight {
            Some(in_flight) if matches!(in_flight.stage, Stage::Announce(at) if at <= now.at) => {
                self.announce(group);
            }
            Some(_) => {}
            None => self.close_commit(group, now),
        }
        let Some(partition) = self.running() else { return };
        let is_held = now.is_draining
            || partition.is_waiting(now.at)
            || partition.is_full()
            || (now.is_crowded && partition.in_flight.is_some());
        match (is_held, partition.is_paused) {
            (true, false) => self.pause(group),
            (false, true) => self.go_on(group, now.at),
            (false, false) if partition.must_seek => self.go_on(group, now.at),
            _ => {}
        }
    }

    /// Commits the intent and, if the coordinator took it, sets the insert on its way.
    fn announce(&mut self, group: &Group) {
        let (partition, epoch) = (self.partition, self.epoch);
        let Some(running) = self.running() else { return };
        let Some(in_flight) = &mut running.in_flight else { return };
        let range = in_flight.chunk.range();
        running.committed_to = None;
        if let Err(error) = group.commit(partition, range.start, &intent::metadata(range.end)) {
            tracing::warn!(partition, ?range, %error, "intent refused: the chunk is dropped");
            return self.restart(group);
        }
        let announced = Announced::now();
        in_flight.stage = Stage::AtWork;
        let (chunk, verify) = (Arc::clone(&in_flight.chunk), in_flight.verify);
        let (work, reports) = (Arc::clone(&group.work), group.reports.clone());
        let span = chunk.span(partition);
        let insert = async move {
            let outcome = Outcome::Attempted(attempt(&work, partition, &chunk, verify, announced).await);
            let _ = reports.send(Report { partition, epoch, outcome });
        };
        group.runtime.spawn(insert.instrument(span));
    }

    /// Says that nothing is under way any more, once nothing has been for a while.
    fn close_commit(&mut self, group: &Group, now: Now) {
        let partition = self.partition;
        let Some(running) = self.running() else { return };
        let next = running.projection.next;
        let is_idle = now.is_draining || now.at.duration_since(running.last_record) > IDLE;
        if !is_idle || !running.is_settled() || !running.owes_commit() {
            return;
        }
        match group.commit(partition, next, "") {
            Ok(()) => running.committed_to = Some(next),
            Err(error) => {
                tracing::warn!(partition, %error, "commit refused");
                self.restart(group);
            }
        }
    }

    pub(crate) fn pause(&mut self, group: &Group) {
        if let Err(error) = group.consumer.pause(&group.list(self.partition)) {
            tracing::warn!(partition = self.partition, %error, "pause");
        }
        if let Some(partition) = self.running() {
            partition.is_paused = true;
            partition.must_seek = true;
        }
    }

    /// Sets librdkafka to the next offset and reads on.
    fn go_on(&mut self, group: &Group, now: Instant) {
        let (consumer, list) = (&group.consumer, group.list(self.partition));
        let must_assign = self.must_assign;
        let Some(partition) = self.running() else { return };
        let mut positioned = list.clone();
        let offset = Offset::Offset(partition.position() as i64);
        let moved = positioned.set_all_offsets(offset).and_then(|()| match must_assign {
            true => assign_again(consumer, &list, &positioned),
            false => seek(consumer, positioned),
        });
        match moved.and_then(|()| consumer.resume(&list)) {
            Ok(()) => {
                partition.is_paused = false;
                partition.must_seek = false;
                (self.must_assign, self.seek_refused) = (false, None);
            }
            Err(error) => {
                tracing::debug!(?list, %error, "seek; trying again");
                let since = *self.seek_refused.get_or_insert(now);
                if now.duration_since(since) > REFUSED {
                    tracing::warn!(?list, %error, "librdkafka refuses every seek: the partition is assigned again");
                    (self.must_assign, self.seek_refused) = (true, None);
                }
            }
        }
    }
}

fn seek(consumer: &LogConsumer, positioned: TopicPartitionList) -> KafkaResult<()> {
    let moved = consumer.seek_partitions(positioned, Duration::from_secs(1))?;
    moved.elements().iter().try_for_each(|element| element.error())
}

/// Takes a partition from librdkafka and gives it back. After an offset that the log does not have, librdkafka fetches
/// nothing of it until then, and refuses every seek. The group does not notice.
fn assign_again(
    consumer: &LogConsumer,
    list: &TopicPartitionList,
    positioned: &TopicPartitionList,
) -> KafkaResult<()> {
    consumer.incremental_unassign(list)?;
    consumer.incremental_assign(positioned)
}
