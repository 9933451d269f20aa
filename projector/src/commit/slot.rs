//! An owned partition, as the loop keeps it: waiting to be resumed, being resumed, or running.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::task::AbortOnDropHandle;

use crate::commit::partition::Partition;
use crate::log::LogConsumer;

/// A seek that is refused for so long will always be.
const REFUSED: Duration = Duration::from_secs(10);

pub(crate) struct Slot {
    /// Of the assignment, or of the last start anew: what a task reports counts only for the epoch that started it.
    pub epoch: u64,
    pub attempts: u32,
    pub state: State,
    /// librdkafka has stopped fetching: only a new assignment sets it going again.
    pub must_assign: bool,
    /// Since when librdkafka refuses to be set to an offset; after an assignment it does so for some moments.
    seek_refused: Option<Instant>,
}

pub(crate) enum State {
    /// To be resumed, not before this moment.
    Waiting(Instant),
    /// Dropped with the partition: others wait for its turn.
    Resuming(#[expect(dead_code, reason = "ends the task")] AbortOnDropHandle<()>),
    Running(Box<Partition>),
}

impl Slot {
    pub(crate) fn new(epoch: u64, now: Instant) -> Self {
        Self { epoch, attempts: 0, state: State::Waiting(now), must_assign: false, seek_refused: None }
    }

    pub(crate) fn running(&mut self) -> Option<&mut Partition> {
        match &mut self.state {
            State::Running(partition) => Some(partition),
            _ => None,
        }
    }

    /// Sets librdkafka to the next offset and reads on. `list`: this partition alone.
    pub(crate) fn go_on(&mut self, consumer: &LogConsumer, list: &TopicPartitionList, now: Instant) {
        let must_assign = self.must_assign;
        let Some(partition) = self.running() else { return };
        let mut positioned = list.clone();
        let offset = Offset::Offset(partition.position() as i64);
        let moved = positioned.set_all_offsets(offset).and_then(|()| match must_assign {
            true => assign_again(consumer, list, &positioned),
            false => seek(consumer, positioned),
        });
        match moved.and_then(|()| consumer.resume(list)) {
            Ok(()) => {
                partition.is_paused = false;
                partition.must_seek = false;
                (self.must_assign, self.seek_refused) = (false, None);
            }
            Err(error) => {
                tracing::debug!(?list, %error, "seek; trying again");
                let since = *self.seek_refused.get_or_insert(now);
                if now.duration_since(since) > REFUSED {
                    tracing::warn!(?list, %error, "librdkafka does not go on: the partition is assigned again");
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
