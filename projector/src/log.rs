//! The log as the projector reads it: consumers, what a rebalance does, and a record without copies.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use anyhow::ensure;
use indicatif::{ProgressBar, ProgressStyle};
use infra::kafka::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use schemas::{Headers, Record};

use crate::config::GroupProtocol;

/// A call that needs an answer of the broker.
pub(crate) const BROKER: Duration = Duration::from_secs(10);
/// A leader that does not answer so soon may be none any more.
const LEADER: Duration = Duration::from_secs(1);

/// The same error is logged again only after so long.
const REPEATED: Duration = Duration::from_secs(10);

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

/// Hands every record from the first offset of each partition to where it ends now to `each`, in order within a
/// partition, until it breaks off; shows how far it is. Blocks.
///
/// # Errors
/// Kafka out of reach, a topic that does not exist.
pub(crate) fn read_all(
    kafka: &KafkaConfig,
    mut each: impl FnMut(Record<'_>) -> ControlFlow<()>,
) -> anyhow::Result<()> {
    let (consumer, topic) = (reader(kafka)?, &kafka.topic);
    let bounds = all_bounds(&consumer, topic)?;
    ensure!(!bounds.is_empty(), "there is no topic {topic}: give another one with --topic");
    let mut list = TopicPartitionList::new();
    let mut open = BTreeMap::new();
    let mut offsets = 0;
    for (partition, range) in bounds.into_iter().filter(|(_, range)| !range.is_empty()) {
        list.add_partition_offset(topic, partition, Offset::Offset(range.start as i64))?;
        offsets += range.end - range.start;
        open.insert(partition, range.end);
    }
    consumer.assign(&list)?;
    let progress = ProgressBar::new(offsets).with_style(ProgressStyle::with_template(
        "{bar:40} {human_pos}/{human_len} offsets, {per_sec}, {eta} left",
    )?);
    let mut last_answer = Instant::now();
    while !open.is_empty() {
        match consumer.poll(BROKER / 10) {
            None => {
                ensure!(last_answer.elapsed() < BROKER, "the brokers stopped to answer");
                continue;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => {
                let found = record(&message);
                let (partition, offset) = (found.partition, found.offset as u64);
                // What came after the end is not read any more.
                let Some(end) = open.get(&partition).copied() else { continue };
                if offset < end && each(found).is_break() {
                    break;
                }
                if offset + 1 >= end {
                    open.remove(&partition);
                }
                progress.inc(1);
            }
        }
        last_answer = Instant::now();
    }
    progress.finish_and_clear();
    Ok(())
}

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

/// A message as the judge wants it, borrowed from librdkafka's buffer.
pub(crate) fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key(),
        value: message.payload(),
        headers: headers(message),
        log_time_ms: message.timestamp().to_millis().unwrap_or(0),
    }
}

fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Headers<'a> {
    let Some(headers) = message.headers() else { return Headers::default() };
    (0..headers.count())
        .filter_map(|index| {
            // rdkafka 0.39 panics on a header name that is not UTF-8, which anyone may write to the log.
            // No name of ours is affected, so such a header is skipped.
            let header = catch_unwind(AssertUnwindSafe(|| quietly(|| headers.try_get(index)))).ok()??;
            Some((header.key, header.value))
        })
        .collect()
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read` with the panic message of this thread suppressed.
fn quietly<T>(read: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                previous(panic);
            }
        }));
    });
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            QUIET.set(false);
        }
    }
    QUIET.set(true);
    let _loud = Loud;
    read()
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
