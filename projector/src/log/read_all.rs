//! Reads the whole log once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::ensure;
use indicatif::{ProgressBar, ProgressStyle};
use infra::kafka::KafkaConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use schemas::Record;

use super::{BROKER, Isolation, Reader, lone_consumer, record};

/// Calls `each` with every record up to the current end of each partition, in order within a partition, until it
/// breaks. Shows a progress bar. Blocks.
///
/// # Errors
/// Kafka is out of reach, or the topic does not exist.
pub(crate) fn read_all(
    kafka: &KafkaConfig,
    mut each: impl FnMut(Record<'_>) -> ControlFlow<()>,
) -> anyhow::Result<()> {
    let topic = &kafka.topic;
    let bounds = Reader::new(kafka, Isolation::Committed)?.all_bounds()?;
    ensure!(!bounds.is_empty(), "there is no topic {topic}: give another one with --topic");
    let mut list = TopicPartitionList::new();
    let mut open = BTreeMap::new();
    let mut offsets = 0;
    for (partition, range) in bounds.into_iter().filter(|(_, range)| !range.is_empty()) {
        list.add_partition_offset(topic, partition, Offset::Offset(range.start as i64))?;
        offsets += range.end - range.start;
        open.insert(partition, range.end);
    }
    let consumer = lone_consumer(kafka, Isolation::Committed)?;
    consumer.assign(&list)?;
    let progress = ProgressBar::new(offsets).with_style(ProgressStyle::with_template(
        "{bar:40} {human_pos}/{human_len} offsets, {per_sec}, {eta} left",
    )?);
    let mut last_answer = Instant::now();
    while !open.is_empty() {
        match consumer.poll(BROKER / 10) {
            None => {
                ensure!(last_answer.elapsed() < BROKER, "the brokers stopped answering");
                continue;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => {
                let found = record(&message);
                let (partition, offset) = (found.partition, found.offset as u64);
                // Records beyond the end are not read.
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
