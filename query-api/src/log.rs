//! Where the log begins and ends, as its brokers say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use infra::kafka::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the brokers; reads no record and joins no group.
#[derive(Clone)]
pub(crate) struct Log {
    consumer: Arc<BaseConsumer>,
    topic: String,
}

impl Log {
    pub(crate) fn new(kafka: &KafkaConfig) -> anyhow::Result<Self> {
        // With all that the brokers acknowledged, also behind a transaction that is still open.
        let options = [("group.id", "eye-query-api"), ("isolation.level", "read_uncommitted")];
        let consumer = kafka.client(&options).create()?;
        Ok(Self { consumer: Arc::new(consumer), topic: kafka.topic.clone() })
    }

    /// Partition to (first offset, next offset). Empty if no broker answers in time.
    pub(crate) async fn bounds(&self) -> BTreeMap<u16, (u64, u64)> {
        let Self { consumer, topic } = self.clone();
        let asked = tokio::task::spawn_blocking(move || -> Result<_, rdkafka::error::KafkaError> {
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
                BTreeMap::new()
            }
            Err(_) => BTreeMap::new(),
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("topic", &self.topic).finish_non_exhaustive()
    }
}
