//! Where the log begins and ends, as its brokers say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use infra::kafka::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the brokers; reads no record and joins no group.
#[derive(Clone)]
pub(crate) struct Log {
    /// Made anew after an error: a consumer that has seen a leader epoch never believes in a lower one, which an older
    /// copy of the brokers' data has.
    consumer: Arc<Mutex<Arc<BaseConsumer>>>,
    kafka: KafkaConfig,
}

impl Log {
    pub(crate) fn new(kafka: &KafkaConfig) -> anyhow::Result<Self> {
        let consumer = Arc::new(Mutex::new(Arc::new(new_consumer(kafka)?)));
        Ok(Self { consumer, kafka: kafka.clone() })
    }

    /// Partition to (first offset, next offset). Empty if no broker answers in time.
    pub(crate) async fn bounds(&self) -> BTreeMap<u16, (u64, u64)> {
        let Self { consumer: shared, kafka: KafkaConfig { topic, .. } } = self.clone();
        let consumer = Arc::clone(&shared.lock().unwrap_or_else(PoisonError::into_inner));
        let asked = tokio::task::spawn_blocking(move || -> KafkaResult<_> {
            let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
            let mut bounds = BTreeMap::new();
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                let (start, end) = consumer.fetch_watermarks(&topic, partition.id(), PATIENCE)?;
                if let Ok(id) = u16::try_from(partition.id()) {
                    bounds.insert(id, (start.cast_unsigned(), end.cast_unsigned()));
                }
            }
            Ok(bounds)
        });
        match asked.await {
            Ok(Ok(bounds)) => bounds,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the log's bounds are unknown");
                if let Ok(fresh) = new_consumer(&self.kafka) {
                    *shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                }
                BTreeMap::new()
            }
            Err(_) => BTreeMap::new(),
        }
    }
}

fn new_consumer(kafka: &KafkaConfig) -> KafkaResult<BaseConsumer> {
    // With all that the brokers acknowledged, also behind a transaction that is still open.
    let options = [("group.id", "eye-query-api"), ("isolation.level", "read_uncommitted")];
    kafka.client(&options).create()
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("topic", &self.kafka.topic).finish_non_exhaustive()
    }
}
