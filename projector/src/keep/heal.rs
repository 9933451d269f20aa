//! Judges a range of the log again and repairs its rows in the tables.
//!
//! Verdicts do not change: the schema version that judged an offset judges it again. If the verdict would differ (that
//! version is gone, an application was registered since), the offset keeps its rows. Its verdict is that of the ledger.
//! If the ledger has lost it, or has two, it is that of the row in `events` or `rejections`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use schemas::Judge;

use crate::commit::resume;
use crate::commit::settle::{Announced, Healed, Token, settle};
use crate::config::ChunkConfig;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::judge::chunk::{Chunk, ClosedChunk};
use crate::judge::projection::{Past, Projection};
use crate::keep::{erase, sequences};
use crate::log;
use crate::work::Work;
use tables::verdict::ALL;

/// Heals `range` of a partition. All inserts below its end must be finished, and all offsets before it must be free of
/// faults: duplicates are found by the ledger's rows before the range.
///
/// # Errors
/// The log or the tables can't be read, or rows stay missing. Calling it again continues the work.
pub(crate) async fn heal(work: &Work, partition: i32, range: Range<u64>) -> Result<Healed> {
    let ChunkConfig { chunk_rows, chunk_bytes, .. } = work.config.chunks;
    let mut reading = Reading::new(work, partition, &range, chunk_rows, chunk_bytes).await?;
    let mut healed = Healed::default();
    while reading.projection.next < range.end {
        let chunk;
        (reading, chunk) = reading.next(work).await?;
        // Another healer of the same chunk has the same name.
        let Range { start, end } = chunk.range();
        let name = format!("{partition}:{start}-{end}");
        let found =
            settle(&work.database, partition, &Token::of(name.into()), &chunk, Announced::not_needed())
                .await?;
        refresh_sequences(&work.database, partition, &chunk, found).await?;
        // The range was settled before, so all of its missing rows were lost.
        healed.missing += found.missing + found.late;
        healed.wrong += found.wrong;
        healed.kept += found.kept;
    }
    if healed.kept > 0 {
        tracing::warn!(
            partition,
            ?range,
            kept = healed.kept,
            "these offsets would get another verdict today and keep theirs: `projector reproject` judges the log again"
        );
    }
    Ok(healed)
}

/// Judges `range` again into one chunk, which the caller inserts. An offset that has a verdict is judged by the schema
/// version of that verdict.
///
/// # Errors
/// The log or the tables can't be read.
pub(crate) async fn judge_again(work: &Work, partition: i32, range: Range<u64>) -> Result<ClosedChunk> {
    let rows = (range.end - range.start) as usize;
    let reading = Reading::new(work, partition, &range, rows, usize::MAX).await?;
    Ok(reading.next(work).await?.1)
}

/// Computes the sequences of a healed chunk's sessions again: `sequences` may include them with other events.
pub(crate) async fn refresh_sequences(
    database: &Database,
    partition: i32,
    chunk: &ClosedChunk,
    healed: Healed,
) -> Result<()> {
    if !healed.has_changed() {
        return Ok(());
    }
    let Range { start, end } = chunk.range();
    let refreshed = sequences::refresh_range(&database.servers(), partition as u16, start, end).await;
    refreshed.map_err(|error| Error::Contradiction(format!("the healed sessions' sequences: {error:#}")))
}

/// Whether `sequences` claim to include a chunk. If so, no later pass would include rows that are put back there.
pub(crate) async fn is_included(database: &Database, partition: i32, chunk: &ClosedChunk) -> Result<bool> {
    let included = sequences::included(&database.servers()).await;
    let included = included.map_err(|error| Error::Contradiction(format!("{error:#}")))?;
    Ok(included.get(&(partition as u16)).is_some_and(|position| *position > chunk.start))
}

struct Reading {
    log: Arc<log::Reader>,
    consumer: Arc<log::LogConsumer>,
    topic: String,
    judge: Arc<Judge>,
    rows: usize,
    bytes: usize,
    projection: Projection,
    log_start: u64,
    /// The next record's offset, if it follows a gap that did not fit into the last chunk.
    position: Option<u64>,
    /// The verdicts that the tables have.
    past: BTreeMap<u64, Past>,
    end: u64,
}

impl Reading {
    /// `rows` and `bytes` are the most that a chunk may have.
    async fn new(work: &Work, partition: i32, range: &Range<u64>, rows: usize, bytes: usize) -> Result<Self> {
        let kafka = &work.config.kafka;
        Ok(Self {
            log: Arc::clone(&work.reader),
            consumer: Arc::new(log::lone_consumer(kafka, log::Isolation::Committed)?),
            topic: kafka.topic.clone(),
            judge: work.judge.load_full(),
            rows,
            bytes,
            position: None,
            log_start: 0,
            projection: resume::projection(work, partition, range.start).await?,
            past: work.database.past(partition, range).await?,
            end: range.end,
        })
    }

    /// Reads the next chunk.
    async fn next(mut self, work: &Work) -> Result<(Self, ClosedChunk)> {
        // Judging again takes long: sessions that were erased meanwhile must not come back.
        erase::refresh(&self.projection.erasures, &work.database).await?;
        let read = move || {
            let mut chunk = self.chunk()?;
            chunk.is_judged_again = true;
            Ok((self, chunk))
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| Error::Stopped)?
    }

    /// Blocks.
    fn chunk(&mut self) -> Result<ClosedChunk> {
        let partition = self.projection.partition;
        let log = self.log.bounds(partition)?;
        if self.end > log.end {
            return Err(Error::Contradiction(format!(
                "partition {partition} is to be healed up to offset {}, but the log ends at {}",
                self.end, log.end
            )));
        }
        let mut chunk = Chunk::new(self.projection.next);
        self.log_start = log.start;
        self.gap(log.start.max(self.position.unwrap_or(0)), &mut chunk);
        let mut list = TopicPartitionList::new();
        let start = self.projection.next.max(log.start);
        list.add_partition_offset(&self.topic, partition, Offset::Offset(start as i64))?;
        self.consumer.assign(&list)?;
        // A handle of its own: a message borrows from it while `self` changes.
        let consumer = Arc::clone(&self.consumer);
        let mut last_answer = Instant::now();
        while self.projection.next < self.end && !self.is_full(&chunk) {
            match consumer.poll(log::BROKER / 10) {
                None if last_answer.elapsed() > log::BROKER => {
                    return Err(KafkaError::MessageConsumption(
                        rdkafka::types::RDKafkaErrorCode::OperationTimedOut,
                    )
                    .into());
                }
                None => continue,
                Some(Err(KafkaError::PartitionEOF(_))) => self.gap(self.end, &mut chunk),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(message)) => {
                    let record = log::record(&message);
                    let offset = record.offset as u64;
                    if offset < self.projection.next {
                        continue;
                    }
                    self.gap(offset, &mut chunk);
                    if offset == self.projection.next && offset < self.end && !self.is_full(&chunk) {
                        match self.past.get(&offset) {
                            Some(past) => {
                                self.projection.record_again(&self.judge, record, *past, &mut chunk);
                            }
                            None => {
                                self.projection.record(&self.judge, record, &mut chunk, |_| false);
                            }
                        }
                    } else {
                        self.position = Some(offset);
                    }
                }
            }
            last_answer = Instant::now();
        }
        self.consumer.unassign()?;
        Ok(chunk.close())
    }

    fn is_full(&self, chunk: &Chunk) -> bool {
        chunk.rows() >= self.rows || chunk.bytes() >= self.bytes
    }

    /// Records that the log holds nothing before `to`.
    fn gap(&mut self, to: u64, chunk: &mut Chunk) {
        while self.projection.next < to.min(self.end) && !self.is_full(chunk) {
            let past = self.past.get(&self.projection.next);
            let verdict = self.projection.no_record(self.log_start, chunk);
            if past.is_some_and(|past| past.verdict != verdict) {
                chunk.keep_last_as_it_is(ALL);
            }
        }
    }
}
