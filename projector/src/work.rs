//! What the loop and its tasks share.

use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use schemas::Judge;
use tokio::sync::{Mutex, Notify, Semaphore};

use crate::config::ProjectorConfig;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::judge::erasures::Erasures;
use crate::log;
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
    /// One partition at a time finds out its position.
    pub resuming: Semaphore,
    reader: Arc<log::LogConsumer>,
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
            resuming: Semaphore::new(1),
            reader: Arc::new(log::reader(&config.kafka)?),
            config,
        })
    }

    pub(crate) async fn bounds(&self, partition: i32) -> Result<Range<u64>> {
        let (reader, topic) = (Arc::clone(&self.reader), self.config.kafka.topic.clone());
        let asked = tokio::task::spawn_blocking(move || log::bounds(&reader, &topic, partition));
        Ok(asked.await.map_err(|_| Error::Stopped)??)
    }

    pub(crate) async fn first_at(&self, partition: i32, time: i64) -> Result<u64> {
        let (reader, topic) = (Arc::clone(&self.reader), self.config.kafka.topic.clone());
        let asked = tokio::task::spawn_blocking(move || log::first_at(&reader, &topic, partition, time));
        Ok(asked.await.map_err(|_| Error::Stopped)??)
    }

    pub(crate) async fn count_partitions(&self) -> Result<()> {
        let (reader, topic) = (Arc::clone(&self.reader), self.config.kafka.topic.clone());
        let asked = tokio::task::spawn_blocking(move || log::partitions(&reader, &topic));
        let partitions = asked.await.map_err(|_| Error::Stopped)??;
        self.progress.set_partitions(partitions.len());
        Ok(())
    }

    /// Whether no known erased session is in a table.
    pub(crate) fn is_erased(&self) -> bool {
        self.progress.erased() == self.erasures.len()
    }
}
