//! An owned partition as the loop keeps it (waiting to be resumed, being resumed, or running), and what the loop does
//! with it.

use std::cell::Cell;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use futures::FutureExt;
use infra::traces;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::commit::attempt::{Completed, backoff, complete};
use crate::commit::intent::{self, new_round};
use crate::commit::partition::{Partition, Stage};
use crate::commit::resume::{Commit, Resumed, resume};
use crate::commit::settle::{Announced, Healed};
use crate::error::{Error, Result};
use crate::log::LogConsumer;
use crate::work::Work;

/// How long seeks may be refused. After that, librdkafka refuses all of them.
const REFUSED: Duration = Duration::from_secs(10);
/// How long a partition must have had no record before its last intent is closed.
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
    /// The coordinator does not know the group any more: its data are an older copy. librdkafka does not join by itself
    /// then.
    pub is_unknown: Cell<bool>,
}

/// What a task found out.
pub(crate) enum Report {
    /// Of a partition, in this epoch of its slot.
    Slot(i32, u64, Outcome),
    Round(Result<()>),
}

pub(crate) enum Outcome {
    Resumed(Result<Box<Resumed>>),
    Completed(Result<Completed>),
}

/// The moment of a turn of the loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub at: Instant,
    /// The chunks take more memory than they may.
    pub is_crowded: bool,
    /// The next round is full, and the one before is still being inserted.
    pub is_full: bool,
    pub is_draining: bool,
}

pub(crate) struct Slot {
    partition: i32,
    /// Of the assignment, or of the last restart.
    pub epoch: u64,
    attempts: u32,
    /// Here the log may hold another record than the one that was judged: to be compared before it goes on.
    pub suspect: Option<u64>,
    /// Why it can't go on, as it was logged last: it may be so for hours.
    told: Option<String>,
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
        let (epoch, is_unknown) = (Cell::new(0), Cell::new(false));
        Self { work, consumer, runtime, reports, epoch, is_unknown }
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

    /// Commits offsets of some partitions, with their metadata. The coordinator refuses all of them or none: what it
    /// looks at is the member and its epoch.
    ///
    /// # Errors
    /// Refused, or unclear.
    pub(crate) fn commit(&self, offsets: impl IntoIterator<Item = (i32, u64, String)>) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset, metadata) in offsets {
            let mut element = list.add_partition(&self.work.config.kafka.topic, partition);
            element.set_offset(Offset::Offset(offset as i64))?;
            element.set_metadata(metadata);
        }
        let committed = self.consumer.commit(&list, CommitMode::Sync);
        if let Err(error) = &committed
            && error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupIdNotFound)
        {
            self.is_unknown.set(true);
        }
        Ok(committed?)
    }

    /// Sets a task on its way. The loop gets its report, also if it panics: something waits for each of them.
    pub(crate) fn spawn<T>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
        report: impl FnOnce(Result<T>) -> Report + Send + 'static,
    ) -> JoinHandle<()> {
        let reports = self.reports.clone();
        self.runtime.spawn(async move {
            let done = AssertUnwindSafe(task).catch_unwind().await;
            let _ = reports.send(report(done.unwrap_or(Err(Error::Stopped))));
        })
    }
}

impl Slot {
    pub(crate) fn new(group: &Group, partition: i32, now: Instant) -> Self {
        Self {
            partition,
            epoch: group.next_epoch(),
            attempts: 0,
            suspect: None,
            told: None,
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
                    Stage::AtWork | Stage::InRound => Some(now + REPORT_POLL),
                },
            },
            State::Waiting(at) => Some(*at),
            State::Resuming(_) => None,
        }
    }

    /// Sets a task on finding out where to go on.
    pub(crate) fn resume(&mut self, group: &Group, commit: Option<Commit>) {
        let (work, partition, epoch) = (Arc::clone(&group.work), self.partition, self.epoch);
        let suspect = self.suspect;
        let resuming = group.spawn(
            async move { resume(&work, partition, commit, suspect).await.map(Box::new) },
            move |resumed| Report::Slot(partition, epoch, Outcome::Resumed(resumed)),
        );
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
                (self.told, self.suspect) = (None, None);
                group.work.progress.recognise(partition);
                if plan.verify_to <= plan.start {
                    group.work.progress.set_inserted_to(partition, plan.start);
                }
                let config = &group.work.config;
                let patience = Duration::from_secs(config.judge.registry_wait.into());
                let running = Partition::new(plan, projection, &config.chunks, patience, log.start, now);
                self.state = State::Running(Box::new(running));
            }
            (Outcome::Resumed(Err(error)), State::Resuming(_)) => {
                let text = error.to_string();
                if self.told.as_ref() == Some(&text) {
                    tracing::debug!(partition, %error, "can't go on; trying again");
                } else {
                    tracing::error!(partition, %error, "can't go on; trying again");
                    self.told = Some(text);
                }
                if let Error::OtherLog(found) = &error {
                    group.work.progress.refuse(found);
                }
                self.wait(now);
            }
            (Outcome::Completed(completed), State::Running(running)) => {
                let Some(in_flight) = &mut running.in_flight else { return };
                match completed {
                    Ok(Completed::Inserted(healed)) => {
                        group.work.progress.inserted(partition, &in_flight.chunk, healed);
                        running.in_flight = None;
                    }
                    // That took its time: the intent is committed again first.
                    Ok(Completed::JudgedAgain(chunk)) => {
                        (in_flight.chunk, in_flight.stage) = (Arc::from(chunk), Stage::Announce(now));
                    }
                    Err(error) => {
                        tracing::warn!(partition, range = ?in_flight.chunk.range(), %error, "insert");
                        group.work.metrics.insert_errors.inc();
                        group.work.progress.insert_failed(partition, &error);
                        in_flight.is_unclear(now);
                    }
                }
            }
            // The state that this belongs to was dropped; the next one compares.
            _ => {}
        }
    }

    /// What became of the round that its chunk was in.
    pub(crate) fn inserted(&mut self, group: &Group, inserted: &Result<()>, now: Instant) {
        let partition = self.partition;
        let Some(running) = self.running() else { return };
        let Some(in_flight) = &mut running.in_flight else { return };
        match inserted {
            Ok(()) => {
                group.work.progress.inserted(partition, &in_flight.chunk, Healed::default());
                running.in_flight = None;
            }
            Err(error) => {
                if !matches!(error, Error::Late) {
                    group.work.progress.insert_failed(partition, error);
                }
                in_flight.is_unclear(now);
            }
        }
    }

    /// Moves the partition on: finds the end of the log, closes and announces a chunk that is to be compared, pauses or
    /// reads on.
    pub(crate) fn advance(&mut self, group: &Group, now: Now) {
        let log_end = group.work.progress.log_end(self.partition);
        let Some(partition) = self.running() else { return };
        if let Some(end) = log_end {
            partition.compare_with_end(end.high, end.stable, now.at);
        }
        if let Some(stable) = log_end.and_then(|end| end.stable).filter(|_| !now.is_draining) {
            partition.look_behind_end(stable);
        }
        partition.fill_gap(now.at);
        let hurries = now.is_crowded || now.is_draining;
        if partition.due(now.at).is_some_and(|due| due <= now.at || hurries) {
            partition.close(&new_round(), Stage::Announce(now.at));
            partition.fill_gap(now.at);
        }
        if let Some(in_flight) = &partition.in_flight
            && matches!(in_flight.stage, Stage::Announce(at) if at <= now.at)
        {
            self.announce(group);
        }
        let Some(partition) = self.running() else { return };
        let is_held = now.is_draining
            || now.is_full
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

    /// Commits the intent of the chunk alone and, if the coordinator took it, sets the comparison on its way.
    fn announce(&mut self, group: &Group) {
        let (partition, epoch) = (self.partition, self.epoch);
        let Some(running) = self.running() else { return };
        let Some(in_flight) = &mut running.in_flight else { return };
        let Range { start, end } = in_flight.chunk.range();
        running.committed_to = None;
        if let Err(error) = group.commit([(partition, start, intent::metadata(end, &in_flight.token.round))])
        {
            tracing::warn!(partition, start, end, %error, "intent refused: the chunk is dropped");
            return self.restart(group);
        }
        let announced = Announced::now();
        in_flight.stage = Stage::AtWork;
        let (chunk, token) = (Arc::clone(&in_flight.chunk), Arc::clone(&in_flight.token));
        let work = Arc::clone(&group.work);
        let span = tracing::info_span!(target: traces::TARGET, "insert", chunks = format!("{partition}:{start}-{end}"));
        chunk.link(&span);
        let completing = async move { complete(&work, partition, &token, &chunk, announced).await };
        group.spawn(completing.instrument(span), move |completed| {
            Report::Slot(partition, epoch, Outcome::Completed(completed))
        });
    }

    /// The offset to commit now that nothing is under way any more, once nothing has been for a while.
    pub(crate) fn owed_commit(&mut self, now: Now) -> Option<u64> {
        let partition = self.running()?;
        let is_idle = now.is_draining || now.at.duration_since(partition.last_record) > IDLE;
        let owes = is_idle && partition.is_settled() && partition.owes_commit();
        owes.then_some(partition.projection.next)
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
