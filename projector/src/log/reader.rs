//! Reads the log outside the group: where it begins and ends, and single records. All of it blocks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use infra::kafka::KafkaConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use schemas::Record;

use super::{BROKER, Isolation, LogConsumer, lone_consumer, record};

/// How long a call waits for the leader that librdkafka knows: another broker may lead by now.
const LEADER: Duration = Duration::from_secs(1);

pub(crate) struct Reader {
    kafka: KafkaConfig,
    isolation: Isolation,
    consumer: Mutex<Arc<LogConsumer>>,
    /// Held while single records are read: the consumer has one assignment.
    sampling: Mutex<()>,
}

impl Reader {
    pub(crate) fn new(kafka: &KafkaConfig, isolation: Isolation) -> KafkaResult<Self> {
        let consumer = Mutex::new(Arc::new(lone_consumer(kafka, isolation)?));
        Ok(Self { kafka: kafka.clone(), isolation, consumer, sampling: Mutex::default() })
    }

    /// The offsets of a partition that the log holds: from its first one to the end of what may be read.
    pub(crate) fn bounds(&self, partition: i32) -> KafkaResult<Range<u64>> {
        let topic = &self.kafka.topic;
        let (low, high) =
            self.ask(|consumer, patience| consumer.fetch_watermarks(topic, partition, patience))?;
        Ok(low.max(0) as u64..high.max(0) as u64)
    }

    /// The first offset whose record is not older than `time` (milliseconds); the log's end if all are older.
    pub(crate) fn first_at(&self, partition: i32, time: i64) -> KafkaResult<u64> {
        let topic = &self.kafka.topic;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(time))?;
        let found = self.ask(|consumer, patience| {
            let found = consumer.offsets_for_times(list.clone(), patience)?;
            // A missing answer must not count as "all are older".
            found.elements().iter().try_for_each(|element| element.error())?;
            Ok(found)
        })?;
        match found.find_partition(topic, partition).map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Ok(offset as u64),
            _ => Ok(self.bounds(partition)?.end),
        }
    }

    pub(crate) fn partitions(&self) -> KafkaResult<Vec<i32>> {
        let topic = self.kafka.topic.as_str();
        let metadata = self.consumer().fetch_metadata(Some(topic), BROKER)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        if let Some(error) = found.and_then(|found| found.error()) {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        let mut partitions: Vec<i32> = found
            .map(|found| found.partitions().iter().map(|partition| partition.id()).collect())
            .unwrap_or_default();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// [`bounds`](Self::bounds) of every partition of the topic; empty if there is no such topic.
    pub(crate) fn all_bounds(&self) -> KafkaResult<BTreeMap<i32, Range<u64>>> {
        self.partitions()?.into_iter().map(|partition| Ok((partition, self.bounds(partition)?))).collect()
    }

    /// Reads the record at an offset; `None` if the log has none there.
    pub(crate) fn sample<T>(
        &self,
        partition: i32,
        offset: u64,
        read: impl FnOnce(&Record<'_>) -> T,
    ) -> KafkaResult<Option<T>> {
        let _turn = self.sampling.lock().expect("nothing panics while it holds the lock");
        let consumer = self.consumer();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.kafka.topic, partition, Offset::Offset(offset as i64))?;
        consumer.assign(&list)?;
        let began = Instant::now();
        let sampled = loop {
            match consumer.poll(BROKER / 10) {
                Some(Ok(message)) if message.partition() != partition => {}
                Some(Ok(message)) => {
                    let found = record(&message);
                    break Ok((found.offset as u64 == offset).then(|| read(&found)));
                }
                Some(Err(KafkaError::PartitionEOF(of))) if of == partition => break Ok(None),
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    break Ok(None);
                }
                // Brokers that don't answer and the like: librdkafka goes on by itself.
                Some(Err(error)) if began.elapsed() > BROKER => break Err(error),
                None if began.elapsed() > BROKER => {
                    break Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                }
                Some(Err(_)) | None => {}
            }
        };
        consumer.unassign()?;
        if sampled.is_err() {
            self.renew(&consumer)?;
        }
        sampled
    }

    fn consumer(&self) -> Arc<LogConsumer> {
        Arc::clone(&self.consumer.lock().expect("nothing panics while it holds the lock"))
    }

    /// Asks the leader of a partition. If that fails, refreshes the metadata and asks again, in the end with a new
    /// consumer.
    ///
    /// For a topic without subscription, librdkafka keeps its last metadata until it is told to refresh it. It may
    /// believe in a dead leader, or that a partition is unknown because a broker that had just started did not know it.
    /// And it never takes metadata whose leader epoch is lower than one that it has seen, as that of an older copy is.
    fn ask<T>(&self, asked: impl Fn(&LogConsumer, Duration) -> KafkaResult<T>) -> KafkaResult<T> {
        let consumer = self.consumer();
        asked(&consumer, LEADER).or_else(|_| {
            consumer.fetch_metadata(Some(&self.kafka.topic), BROKER)?;
            asked(&consumer, BROKER).or_else(|_| asked(&*self.renew(&consumer)?, BROKER))
        })
    }

    /// Replaces a consumer, unless another caller has done so.
    fn renew(&self, failed: &Arc<LogConsumer>) -> KafkaResult<Arc<LogConsumer>> {
        let mut consumer = self.consumer.lock().expect("nothing panics while it holds the lock");
        if Arc::ptr_eq(&consumer, failed) {
            *consumer = Arc::new(lone_consumer(&self.kafka, self.isolation)?);
        }
        Ok(Arc::clone(&consumer))
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_dead_leader_is_asked_no_more_once_another_leads() {
        // A mock, because it decides when another broker leads.
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic("log", 1, 2).unwrap();
        cluster.partition_leader("log", 0, Some(1)).unwrap();
        let kafka =
            KafkaConfig { brokers: cluster.bootstrap_servers(), topic: "log".into(), options: vec![] };
        let reader = Reader::new(&kafka, Isolation::Committed).unwrap();
        assert_eq!(reader.bounds(0).unwrap(), 0..0);
        cluster.broker_down(1).unwrap();
        // librdkafka learns the metadata of before the death.
        reader.consumer().fetch_metadata(Some("log"), BROKER).unwrap();
        cluster.partition_leader("log", 0, Some(2)).unwrap();
        assert_eq!(reader.bounds(0).unwrap(), 0..0);
        assert_eq!(reader.first_at(0, 0).unwrap(), 0);
    }
}
