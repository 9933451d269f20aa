//! What rebalances do to the partitions that this process owns.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

/// The same error is logged again only after so long.
const REPEATED: Duration = Duration::from_secs(10);

/// Collects what rebalances did. librdkafka calls back within `poll` on the polling thread, which takes
/// the list before it does anything else: no offset is committed for a partition that was taken away.
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
    /// The one place where librdkafka's errors are logged; it repeats them for as long as they last.
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
    /// Both protocols of ours are cooperative, so partitions come and go one by one.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let result = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.record(partitions, Change::Assigned);
                // Paused until it is known where to go on: the place given here is never read from.
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
            tracing::error!(%error, "rebalance");
        }
    }
}
