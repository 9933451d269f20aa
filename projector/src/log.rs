//! Reads the log: consumers, rebalances, records without copies; and what to say of another log.

mod log_break;
mod reader;
mod read_all;
mod rebalance;
mod record;

use std::collections::BTreeMap;
use std::time::Duration;

use infra::kafka::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::GroupProtocol;

pub(crate) use log_break::{Break, Why};
pub(crate) use read_all::read_all;
pub(crate) use reader::Reader;
pub(crate) use rebalance::{Change, Rebalances};
pub(crate) use record::record;

/// How long a call waits for a broker.
pub(crate) const BROKER: Duration = Duration::from_secs(10);

/// The options of both kinds of consumer.
const READING: [(&str, &str); 11] = [
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
    // The most that one batch of records may take when it is unpacked by zstd. A partition whose next batch is larger
    // stands still; `/readyz` names its offset. A few kilobytes can hold that much, so this bounds memory, too.
    ("receive.message.max.bytes", "268435456"),
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

/// Which records a consumer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Those that get a verdict: none of an open transaction, and none behind it.
    Committed,
    /// All that the brokers have acknowledged.
    Uncommitted,
}

/// The offsets that a group has committed; a partition without one is left out. It asks, and does not become a member.
/// Blocks.
pub(crate) fn committed(
    kafka: &KafkaConfig,
    group: &str,
    partitions: &[i32],
) -> KafkaResult<BTreeMap<i32, u64>> {
    let consumer: BaseConsumer = kafka.client(&[("group.id", group)]).create()?;
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&kafka.topic, *partition);
    }
    let committed = consumer.committed_offsets(list, BROKER)?;
    let offset = |element: &TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some((element.partition(), offset as u64)),
        _ => None,
    };
    Ok(committed.elements().iter().filter_map(offset).collect())
}

/// A consumer without a group.
pub(crate) fn lone_consumer(kafka: &KafkaConfig, isolation: Isolation) -> KafkaResult<LogConsumer> {
    let mut options = READING.to_vec();
    options.extend([("group.id", "eye-projector-reader"), ("client.id", "eye-projector-reader")]);
    if isolation == Isolation::Uncommitted {
        options.push(("isolation.level", "read_uncommitted"));
    }
    kafka.client(&options).create_with_context(Rebalances::default())
}
