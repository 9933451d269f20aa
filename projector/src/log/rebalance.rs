//! Records how rebalances change the partitions of this projector.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

/// How long an error is not logged again.
const REPEATED: Duration = Duration::from_secs(10);

/// Collects the changes of rebalances. librdkafka calls back within `poll` on the polling thread. That thread takes the
/// changes before it does anything else, so no offset is committed for a partition that was revoked.
#[derive(Debug, Default)]
pub(crate) struct Rebalances {
    changes: Mutex<Vec<Change>>,
    last_error: Mutex<Option<(RDKafkaErrorCode, Instant)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Assigned(i32),
    Revoked(i32),
}

impl Rebalances {
    pub(crate) fn take(&self) -> Vec<Change> {
        std::mem::take(&mut self.changes.lock().expect("nothing panics while it holds the lock"))
    }

    fn record(&self, partitions: &TopicPartitionList, change: fn(i32) -> Change) {
        let mut changes = self.changes.lock().expect("nothing panics while it holds the lock");
        changes.extend(partitions.elements().iter().map(|element| change(element.partition())));
    }
}

impl ClientContext for Rebalances {
    /// Logs librdkafka's errors, which no other place does. librdkafka repeats them while they last.
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let mut last = self.last_error.lock().expect("nothing panics while it holds the lock");
        if last.is_none_or(|(last, at)| Some(last) != code || at.elapsed() > REPEATED) {
            *last = code.map(|code| (code, Instant::now()));
            tracing::warn!(%error, reason, "kafka");
        }
    }
}

impl ConsumerContext for Rebalances {
    /// Both group protocols are cooperative, so partitions come and go one by one.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let result = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.record(partitions, Change::Assigned);
                // Paused until the projector knows its position: this offset is never read.
                partitions
                    .set_all_offsets(Offset::Beginning)
                    .and_then(|()| consumer.incremental_assign(partitions))
                    .and_then(|()| consumer.pause(partitions))
            }
            _ => {
                self.record(partitions, Change::Revoked);
                consumer.incremental_unassign(partitions)
            }
        };
        if let Err(error) = result {
            tracing::error!(%error, "a rebalance failed");
        }
    }
}
