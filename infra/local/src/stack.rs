//! Kafka and ClickHouse together.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::clickhouse::{ClickHouse, ClickHouseOptions};
use crate::data::DataDir;
use crate::kafka::{Kafka, KafkaOptions};
use crate::ready::START;
use crate::supervise::{Event, OnEvent, Restart};

#[derive(Clone)]
pub struct StackOptions {
    /// Kept between runs; `None`: a temporary one that is removed with the stack.
    pub data: Option<PathBuf>,
    pub kafka: KafkaOptions,
    pub clickhouse: ClickHouseOptions,
    /// Whether a part that dies is started again: tests want [`Restart::Never`], `make run` [`Restart::Backoff`].
    pub restart: Restart,
    pub on_event: OnEvent,
}

/// A stack as tests want it: free ports, temporary data, no restarts, silent unless a part dies.
impl Default for StackOptions {
    fn default() -> Self {
        Self {
            data: None,
            kafka: KafkaOptions::default(),
            clickhouse: ClickHouseOptions::default(),
            restart: Restart::Never,
            on_event: Arc::new(|event| {
                if matches!(event, Event::Died { .. }) {
                    eprintln!("{event}");
                }
            }),
        }
    }
}

/// A running Kafka and ClickHouse. Dropping it kills both and removes temporary data; [`Stack::stop`] is
/// the orderly end.
pub struct Stack {
    pub kafka: Kafka,
    pub clickhouse: ClickHouse,
    data: DataDir,
}

impl Stack {
    /// Starts both parts and waits until they answer. The first time on a machine it fetches them.
    ///
    /// # Errors
    /// One clear line: a missing program, an occupied port, too little disk; or the end of a part's log.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let stack = tokio::task::spawn_blocking(move || -> anyhow::Result<Self> {
            let data = DataDir::new(options.data.as_deref())?;
            let directory = data.path();
            let (restart, on_event) = (options.restart, options.on_event);
            let kafka =
                Kafka::spawn(&directory.join("kafka"), &options.kafka, restart, Arc::clone(&on_event))?;
            let clickhouse = ClickHouse::spawn(directory, &options.clickhouse, restart, &on_event)?;
            Ok(Self { kafka, clickhouse, data })
        });
        let stack = stack.await.context("the start was cancelled")??;
        stack.clickhouse.ready().await?;
        stack.kafka.process.ready(START).await?;
        Ok(stack)
    }

    /// Stops all in order. Kept data starts without recovery the next time.
    pub async fn stop(self) {
        let clickhouse = async {
            for shard in self.clickhouse.shards() {
                shard.process.stop().await;
            }
        };
        tokio::join!(self.kafka.process.stop(), clickhouse);
    }

    /// The directory with the data and logs of the parts.
    pub fn data(&self) -> &Path {
        self.data.path()
    }
}

/// A part alone, with data of its own; derefs to the part.
pub struct Alone<T> {
    part: T,
    _data: DataDir,
}

pub type KafkaAlone = Alone<Kafka>;
pub type ClickHouseAlone = Alone<ClickHouse>;

impl<T: Send + 'static> Alone<T> {
    async fn spawn(
        options: StackOptions,
        spawn: fn(&Path, &StackOptions) -> anyhow::Result<T>,
    ) -> anyhow::Result<Self> {
        let alone = tokio::task::spawn_blocking(move || -> anyhow::Result<Self> {
            let data = DataDir::new(options.data.as_deref())?;
            Ok(Self { part: spawn(data.path(), &options)?, _data: data })
        });
        alone.await.context("the start was cancelled")?
    }
}

impl KafkaAlone {
    /// As [`Stack::start`], without the options of ClickHouse.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let alone = Self::spawn(options, |data, StackOptions { kafka, restart, on_event, .. }| {
            Kafka::spawn(&data.join("kafka"), kafka, *restart, Arc::clone(on_event))
        });
        let alone = alone.await?;
        alone.process.ready(START).await?;
        Ok(alone)
    }
}

impl ClickHouseAlone {
    /// As [`Stack::start`], without the options of Kafka.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let alone = Self::spawn(options, |data, StackOptions { clickhouse, restart, on_event, .. }| {
            ClickHouse::spawn(data, clickhouse, *restart, on_event)
        });
        let alone = alone.await?;
        alone.ready().await?;
        Ok(alone)
    }
}

impl<T> Deref for Alone<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.part
    }
}
