//! What the loop and its tasks share.

use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rdkafka::error::KafkaResult;
use schemas::Judge;
use tokio::sync::{Mutex, Notify, Semaphore};

use crate::config::ProjectorConfig;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::judge::erasures::Erasures;
use crate::log::{Isolation, Reader};
use crate::metrics::Metrics;
use crate::progress::Progress;

pub(crate) struct Work {
    pub config: ProjectorConfig,
    pub database: Database,
    /// Replaced when the event types or applications are read again.
    pub judge: ArcSwap<Judge>,
    pub erasures: Arc<Erasures>,
    pub metrics: Metrics,
    /// Held by the task that writes `sequences`, or that changes rows below their positions.
    pub turn: Arc<Mutex<()>>,
    /// Asks for an audit now.
    pub audit: Notify,
    /// Reading the log failed: it may be another one.
    pub log_error: Notify,
    /// One partition at a time finds out its position.
    pub resuming: Semaphore,
    pub reader: Arc<Reader>,
    uncommitted: Arc<Reader>,
    pub progress: Progress,
}

impl Work {
    pub(crate) fn new(
        config: ProjectorConfig,
        generation: u32,
        judge: Judge,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        metrics.declare(judge.registry());
        metrics.declare_apps(judge.apps());
        metrics.begin_projecting();
        Ok(Self {
            database: Database::new(&config.clickhouse, generation, &config.kafka.topic),
            judge: ArcSwap::from_pointee(judge),
            erasures: Arc::default(),
            progress: Progress::new(metrics.clone()),
            metrics,
            turn: Arc::default(),
            audit: Notify::new(),
            log_error: Notify::new(),
            resuming: Semaphore::new(1),
            reader: Arc::new(Reader::new(&config.kafka, Isolation::Committed)?),
            uncommitted: Arc::new(Reader::new(&config.kafka, Isolation::Uncommitted)?),
            config,
        })
    }

    /// The offsets of a partition that the log holds and that may be judged.
    pub(crate) async fn bounds(&self, partition: i32) -> Result<Range<u64>> {
        self.read_log(move |log| log.bounds(partition)).await
    }

    /// The end of all that the brokers have acknowledged: behind that of [`bounds`](Self::bounds) lies an open
    /// transaction.
    pub(crate) async fn high_watermark(&self, partition: i32) -> Result<u64> {
        Ok(read(&self.uncommitted, move |log| log.bounds(partition)).await?.end)
    }

    pub(crate) async fn first_at(&self, partition: i32, time: i64) -> Result<u64> {
        self.read_log(move |log| log.first_at(partition, time)).await
    }

    pub(crate) async fn count_partitions(&self) -> Result<()> {
        let partitions = self.read_log(|log| log.partitions()).await?;
        self.progress.set_partitions(partitions.len());
        Ok(())
    }

    /// Reads the log.
    pub(crate) async fn read_log<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Reader) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T> {
        read(&self.reader, ask).await
    }

    /// Whether no known erased session is in a table.
    pub(crate) fn is_erased(&self) -> bool {
        self.progress.erased() == self.erasures.len()
    }
}

/// On a thread for blocking work.
async fn read<T: Send + 'static>(
    reader: &Arc<Reader>,
    ask: impl FnOnce(&Reader) -> KafkaResult<T> + Send + 'static,
) -> Result<T> {
    let reader = Arc::clone(reader);
    Ok(tokio::task::spawn_blocking(move || ask(&reader)).await.map_err(|_| Error::Stopped)??)
}
