//! The producer: queues records for the brokers, and counts down until they have acknowledged all of a request.
//!
//! A request takes room for its records and bytes before it queues any. So the queue of librdkafka never overflows half
//! way. Each record carries a pointer to its request; the delivery callback notes the place in the log and counts down;
//! the last one wakes the request. The request gives its room back when the brokers have answered for all of it, not
//! when the sender gives up: what is still queued is still in memory.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout_at};
use uuid::Uuid;

use crate::config::LogConfig;
use crate::metrics::Metrics;

/// How often the gateway checks that the producer still works.
const LOOK: Duration = Duration::from_secs(1);

/// An event to append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    pub key: &'a str,
    pub value: &'a [u8],
    pub event_id: Uuid,
}

/// The headers that all records of a request share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Common<'a> {
    pub app: &'a str,
    /// RFC 3339.
    pub received_at: &'a str,
    /// W3C trace context of the request.
    pub traceparent: Option<&'a str>,
}

/// Where an event is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub partition: i32,
    pub offset: i64,
}

/// Why the gateway doesn't know that an event is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There was no room within the bound. Nothing of the request was queued.
    Full,
    /// The brokers did not answer within the bound: it may be in the log, or still get there.
    Slow,
    /// The brokers take no record of this size, now or later.
    TooLarge,
    /// The brokers (or librdkafka) refused it.
    Refused(RDKafkaErrorCode),
}

impl Failure {
    fn by(code: RDKafkaErrorCode) -> Self {
        match code {
            // It may have been written before the answer got lost.
            RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::RequestTimedOut => Self::Slow,
            RDKafkaErrorCode::MessageSizeTooLarge => Self::TooLarge,
            _ => Self::Refused(code),
        }
    }
}

pub(crate) type Outcome = Result<Place, Failure>;

/// The producer.
pub(crate) struct Log {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    events: Arc<Semaphore>,
    /// In KiB.
    kibibytes: Arc<Semaphore>,
    queue_events: u32,
    queue_kibibytes: u32,
}

/// Notes what became of records.
struct Deliveries {
    metrics: Arc<Metrics>,
    started: Instant,
    /// Milliseconds from `started` to the last acknowledgement.
    last_acknowledged: AtomicU64,
}

/// A request's records under way.
struct Request {
    outcomes: Box<[OnceLock<Outcome>]>,
    remaining: AtomicU32,
    complete: Notify,
    /// Given back when the last record is answered for and the request is gone.
    _room: [OwnedSemaphorePermit; 2],
}

/// One record of a request.
struct Pending {
    request: Arc<Request>,
    index: u32,
}

impl Log {
    /// # Errors
    /// Kafka options that librdkafka does not take.
    pub(crate) fn connect(config: &LogConfig, metrics: Arc<Metrics>) -> Result<Self, KafkaError> {
        // After `wait` the sender is told that the brokers are slow; librdkafka gives the record up a second later.
        let delivery = (config.wait + Duration::from_secs(1)).as_millis().to_string();
        // librdkafka's own limits stay out of the way: the semaphores are the bound.
        let kilobytes = (config.queue_bytes / 512).to_string();
        let client = config.kafka.client(&[
            ("partitioner", infra::kafka::PARTITIONER),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            // A produce request carries one partition. With 16 of them and 1 ms, requests have two or three
            // records each, and cost us and the brokers more than the records do.
            ("linger.ms", "3"),
            ("compression.type", "lz4"),
            ("message.timeout.ms", &delivery),
            ("message.max.bytes", "10000000"),
            ("batch.num.messages", "20000"),
            ("queue.buffering.max.messages", "0"),
            ("queue.buffering.max.kbytes", &kilobytes),
            ("socket.nagle.disable", "true"),
        ]);
        let context = Deliveries { metrics, started: Instant::now(), last_acknowledged: AtomicU64::new(0) };
        let queue_kibibytes = u32::try_from(config.queue_bytes / 1024).unwrap_or(u32::MAX >> 3);
        Ok(Self {
            producer: client.create_with_context(context)?,
            topic: config.kafka.topic.clone(),
            events: Arc::new(Semaphore::new(config.queue_events as usize)),
            kibibytes: Arc::new(Semaphore::new(queue_kibibytes as usize)),
            queue_events: config.queue_events,
            queue_kibibytes,
        })
    }

    /// Whether a request of this size could ever be taken.
    pub(crate) fn fits(&self, events: usize, bytes: usize) -> bool {
        events <= self.queue_events as usize && kibibytes(events, bytes) <= self.queue_kibibytes
    }

    /// Appends events in order and waits until the brokers have answered for each, at most until `deadline`.
    /// One outcome an event, in order.
    pub(crate) async fn append(
        &self,
        common: &Common<'_>,
        events: &[Event<'_>],
        deadline: Instant,
    ) -> Vec<Outcome> {
        let Some(request) = self.enqueue(common, events, deadline).await else {
            return vec![Err(Failure::Full); events.len()];
        };
        // Returns at once if the last acknowledgement came before.
        let _ = timeout_at(deadline.into(), request.complete.notified()).await;
        request.outcomes.iter().map(|outcome| outcome.get().copied().unwrap_or(Err(Failure::Slow))).collect()
    }

    async fn enqueue(
        &self,
        common: &Common<'_>,
        events: &[Event<'_>],
        deadline: Instant,
    ) -> Option<Arc<Request>> {
        let bytes: usize = events.iter().map(|event| event.value.len()).sum();
        let room = async {
            let events = Arc::clone(&self.events).acquire_many_owned(events.len() as u32).await.ok()?;
            let size = kibibytes(events.num_permits(), bytes);
            let bytes = Arc::clone(&self.kibibytes).acquire_many_owned(size).await.ok()?;
            Some([events, bytes])
        };
        let room = timeout_at(deadline.into(), room).await.ok()??;
        let request = Arc::new(Request {
            outcomes: events.iter().map(|_| OnceLock::new()).collect(),
            remaining: AtomicU32::new(events.len() as u32),
            complete: Notify::new(),
            _room: room,
        });
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        for (index, event) in events.iter().enumerate() {
            let event_id = event.event_id.hyphenated().encode_lower(&mut id);
            let mut headers = OwnedHeaders::new_with_capacity(4)
                .insert(Header { key: "app", value: Some(common.app) })
                .insert(Header { key: "event_id", value: Some(&*event_id) })
                .insert(Header { key: "received_at", value: Some(common.received_at) });
            if let Some(traceparent) = common.traceparent {
                headers = headers.insert(Header { key: "traceparent", value: Some(traceparent) });
            }
            let pending = Box::new(Pending { request: Arc::clone(&request), index: index as u32 });
            let record = BaseRecord::with_opaque_to(&self.topic, pending)
                .key(event.key)
                .payload(event.value)
                .headers(headers);
            if let Err((error, record)) = self.producer.send(record) {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                self.producer.context().failed(code);
                record.delivery_opaque.answered(Err(Failure::by(code)));
            }
        }
        Some(request)
    }

    /// Waits for a fatal error of the producer, and returns it. Once librdkafka can't keep records in order, and each
    /// but once, it refuses all records for ever. Its callbacks don't tell this error from others.
    pub(crate) async fn fatal(&self) -> String {
        loop {
            if let Some((_, why)) = self.producer.client().fatal_error() {
                return why;
            }
            sleep(LOOK).await;
        }
    }

    /// How many seconds a refused sender should wait: as long as the brokers have been silent. So senders neither
    /// hammer a broker that is down nor dawdle when it is back.
    pub(crate) fn retry_after(&self) -> u64 {
        let context = self.producer.context();
        let last = Duration::from_millis(context.last_acknowledged.load(Ordering::Relaxed));
        context.started.elapsed().saturating_sub(last).as_secs().clamp(1, 30)
    }

    /// Events that wait for the brokers, and KiB of memory that they take.
    pub(crate) fn queued(&self) -> (u32, u32) {
        let taken = |all: u32, semaphore: &Semaphore| all - (semaphore.available_permits() as u32).min(all);
        (taken(self.queue_events, &self.events), taken(self.queue_kibibytes, &self.kibibytes))
    }

    /// Whether the brokers answer and know the topic. Blocks up to `within`.
    ///
    /// # Errors
    /// The sentence says what is wrong.
    pub(crate) fn check(&self, within: Duration) -> Result<(), String> {
        let metadata = self
            .producer
            .client()
            .fetch_metadata(Some(&self.topic), within)
            .map_err(|error| format!("no broker answers: {error}"))?;
        match metadata.topics().first() {
            Some(topic) if topic.error().is_none() && !topic.partitions().is_empty() => Ok(()),
            _ => Err(format!("the topic {} does not exist: run `projector migrate`", self.topic)),
        }
    }

    /// Waits until everything queued is answered for.
    ///
    /// # Errors
    /// Something is still queued after `within`.
    pub(crate) fn flush(&self, within: Duration) -> Result<(), KafkaError> {
        self.producer.flush(within)
    }
}

/// About what librdkafka keeps besides a value: record, headers, key, and the pointer to the request.
const OVERHEAD: usize = 512;

fn kibibytes(events: usize, bytes: usize) -> u32 {
    u32::try_from((bytes + events * OVERHEAD).div_ceil(1024)).unwrap_or(u32::MAX)
}

impl Pending {
    fn answered(&self, outcome: Outcome) {
        let request = &self.request;
        if let Some(slot) = request.outcomes.get(self.index as usize) {
            let _ = slot.set(outcome);
        }
        if request.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            request.complete.notify_one();
        }
    }
}

impl Deliveries {
    fn failed(&self, code: RDKafkaErrorCode) {
        self.metrics.broker_errors.with_label_values(&[&format!("{code:?}")]).inc();
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        self.failed(code);
        tracing::warn!(%error, reason, "kafka");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Box<Pending>) {
        let outcome = match result {
            Ok(message) => {
                let now = self.started.elapsed().as_millis() as u64;
                self.last_acknowledged.store(now, Ordering::Relaxed);
                Ok(Place { partition: message.partition(), offset: message.offset() })
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                self.failed(code);
                Err(Failure::by(code))
            }
        };
        pending.answered(outcome);
    }
}
