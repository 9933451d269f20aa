//! The log as the projector reads it: consumers, what a rebalance does, and a record without copies.

mod history;
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

pub(crate) use history::read_all;
pub(crate) use rebalance::{Change, Rebalances};
pub(crate) use record::record;

/// A call that needs an answer of the broker.
pub(crate) const BROKER: Duration = Duration::from_secs(10);
/// A leader that does not answer so soon may be none any more.
const LEADER: Duration = Duration::from_secs(1);

/// What both kinds of consumer hold an opinion on.
const READING: [(&str, &str); 10] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // An offset that the log does not have is for us to decide on, never to be jumped over.
    ("auto.offset.reset", "error"),
    // Aborted records have no verdict but `absent`.
    ("isolation.level", "read_committed"),
    // The end of a partition tells whether it is behind, and finds markers that no record follows.
    ("enable.partition.eof", "true"),
    // Answer as soon as there is a byte, look again soon when there is none.
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "100"),
    // How long a partition whose queue was full rests; the default of a second starves the catching up.
    ("fetch.queue.backoff.ms", "5"),
    // Records that wait in librdkafka, over all partitions: a bound on memory.
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

/// A consumer outside any group: to heal a range, and to ask for the log's bounds.
pub(crate) fn reader(kafka: &KafkaConfig) -> KafkaResult<LogConsumer> {
    let mut options = READING.to_vec();
    options.extend([("group.id", "eye-projector-reader"), ("client.id", "eye-projector-reader")]);
    kafka.client(&options).create_with_context(Rebalances::default())
}

/// The offsets that the log holds of a partition: from its first to the end of what is committed. Blocks.
pub(crate) fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> KafkaResult<Range<u64>> {
    let asked = |patience| consumer.fetch_watermarks(topic, partition, patience);
    let (low, high) = ask_leader(consumer, topic, asked)?;
    Ok(low.max(0) as u64..high.max(0) as u64)
}

/// The first offset whose record is not older than `time` (milliseconds); the end of the log if all are. Blocks.
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
        // What the leader did not answer must not count as "all are older".
        found.elements().iter().try_for_each(|element| element.error())?;
        Ok(found)
    })?;
    match found.find_partition(topic, partition).map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => Ok(offset as u64),
        _ => Ok(bounds(consumer, topic, partition)?.end),
    }
}

/// Asks whoever leads a partition, and again whoever leads it by now.
///
/// librdkafka goes on believing who the leader was, dead or not, for a topic that nobody subscribed to, and that a
/// partition is unknown which a broker did not know when it had just started: it has to be told to look again.
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

/// How many partitions the topic has. Blocks.
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

/// [`bounds`] of every partition of the topic; none if there is no such topic. Blocks.
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
        // A mock, because it says at which moment another broker leads.
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic("log", 1, 2).unwrap();
        cluster.partition_leader("log", 0, Some(1)).unwrap();
        let kafka =
            KafkaConfig { brokers: cluster.bootstrap_servers(), topic: "log".into(), options: vec![] };
        let consumer = reader(&kafka).unwrap();
        assert_eq!(bounds(&consumer, "log", 0).unwrap(), 0..0);
        cluster.broker_down(1).unwrap();
        // What librdkafka learns while nobody has noticed the death.
        consumer.fetch_metadata(Some("log"), BROKER).unwrap();
        cluster.partition_leader("log", 0, Some(2)).unwrap();
        assert_eq!(bounds(&consumer, "log", 0).unwrap(), 0..0);
        assert_eq!(first_at(&consumer, "log", 0, 0).unwrap(), 0);
    }
}
