//! Reads the log: consumers, rebalances, records without copies.

mod read_all;
mod rebalance;
mod record;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use infra::kafka::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use crate::config::GroupProtocol;

pub(crate) use read_all::read_all;
pub(crate) use rebalance::{Change, Rebalances};
pub(crate) use record::record;

/// How long a call waits for a broker.
pub(crate) const BROKER: Duration = Duration::from_secs(10);
/// How long a call waits for the leader that librdkafka knows: another broker may lead by now.
const LEADER: Duration = Duration::from_secs(1);

/// The options of both kinds of consumer.
const READING: [(&str, &str); 10] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // The projector decides about an offset that the log does not have: librdkafka must not skip it.
    ("auto.offset.reset", "error"),
    // Aborted records get the verdict `absent`.
    ("isolation.level", "read_committed"),
    // The end of a partition shows whether it is behind, and finds markers that no record follows.
    ("enable.partition.eof", "true"),
    // Answer as soon as there is a byte, and look again soon when there is none.
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "100"),
    // How long a partition rests after its queue was full. The default of a second slows down catching up.
    ("fetch.queue.backoff.ms", "5"),
    // Records that wait in librdkafka, over all partitions: bounds memory.
    ("queued.max.messages.kbytes", "32768"),
    ("queued.min.messages", "20000"),
];

pub(crate) type LogConsumer = BaseConsumer<Rebalances>;

/// A member of the projector's group.
pub(crate) fn group_consumer(
    kafka: &KafkaConfig,
    group: &str,
    protocol: GroupProtocol,
) -> KafkaResult<LogConsumer> {
    let mut options = READING.to_vec();
    options.extend([("group.id", group), ("client.id", "eye-projector")]);
    options.extend_from_slice(match protocol {
        GroupProtocol::Consumer => &[("group.protocol", "consumer")],
        GroupProtocol::Classic => {
            &[("group.protocol", "classic"), ("partition.assignment.strategy", "cooperative-sticky")]
        }
    });
    let consumer: LogConsumer = kafka.client(&options).create_with_context(Rebalances::default())?;
    consumer.subscribe(&[&kafka.topic])?;
    Ok(consumer)
}

/// A consumer without a group, for healing a range and for the log's bounds.
pub(crate) fn reader(kafka: &KafkaConfig) -> KafkaResult<LogConsumer> {
    let mut options = READING.to_vec();
    options.extend([("group.id", "eye-projector-reader"), ("client.id", "eye-projector-reader")]);
    kafka.client(&options).create_with_context(Rebalances::default())
}

/// The offsets of a partition that the log holds: from its first one to the end of what is committed. Blocks.
pub(crate) fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> KafkaResult<Range<u64>> {
    let asked = |patience| consumer.fetch_watermarks(topic, partition, patience);
    let (low, high) = ask_leader(consumer, topic, asked)?;
    Ok(low.max(0) as u64..high.max(0) as u64)
}

/// The first offset whose record is not older than `time` (milliseconds); the log's end if all are older. Blocks.
pub(crate) fn first_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    time: i64,
) -> KafkaResult<u64> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(time))?;
    let found = ask_leader(consumer, topic, |patience| {
        let found = consumer.offsets_for_times(list.clone(), patience)?;
        // A missing answer must not count as "all are older".
        found.elements().iter().try_for_each(|element| element.error())?;
        Ok(found)
    })?;
    match found.find_partition(topic, partition).map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => Ok(offset as u64),
        _ => Ok(bounds(consumer, topic, partition)?.end),
    }
}

/// Asks the leader of a partition. If that fails, refreshes the metadata and asks again.
///
/// For a topic without subscription, librdkafka keeps its last metadata until it is told to refresh it. It may believe
/// in a dead leader, or that a partition is unknown because a broker that had just started did not know it.
fn ask_leader<C: ConsumerContext, T>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    asked: impl Fn(Duration) -> KafkaResult<T>,
) -> KafkaResult<T> {
    asked(LEADER).or_else(|_| {
        consumer.fetch_metadata(Some(topic), BROKER)?;
        asked(BROKER)
    })
}

/// Blocks.
pub(crate) fn partitions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), BROKER)?;
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

/// [`bounds`] of every partition of the topic; empty if there is no such topic. Blocks.
pub(crate) fn all_bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
) -> KafkaResult<BTreeMap<i32, Range<u64>>> {
    let partitions = partitions(consumer, topic)?;
    partitions.into_iter().map(|partition| Ok((partition, bounds(consumer, topic, partition)?))).collect()
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
        let consumer = reader(&kafka).unwrap();
        assert_eq!(bounds(&consumer, "log", 0).unwrap(), 0..0);
        cluster.broker_down(1).unwrap();
        // librdkafka learns the metadata of before the death.
        consumer.fetch_metadata(Some("log"), BROKER).unwrap();
        cluster.partition_leader("log", 0, Some(2)).unwrap();
        assert_eq!(bounds(&consumer, "log", 0).unwrap(), 0..0);
        assert_eq!(first_at(&consumer, "log", 0, 0).unwrap(), 0);
    }
}
