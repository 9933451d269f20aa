//! Kafka and ClickHouse together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::data::DataDir;
use crate::kafka::{Kafka, KafkaOptions};
use crate::supervise::{Event, OnEvent, Restart};

/// How long a part may take from its start to its first answer. Generous: the machine may be busy.
pub const START: Duration = Duration::from_secs(90);

#[derive(Clone)]
pub struct StackOptions {
    /// Kept between runs; `None`: a temporary one that is removed with the stack.
    pub data: Option<PathBuf>,
    pub kafka: KafkaOptions,
    /// What happens when a part dies: tests want [`Restart::Never`], `make run` [`Restart::Backoff`].
    pub restart: Restart,
    pub on_event: OnEvent,
}

/// A stack as tests want it: free ports, temporary data, no restarts, silent unless a part dies.
impl Default for StackOptions {
    fn default() -> Self {
        Self {
            data: None,
            kafka: KafkaOptions::default(),
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
    data: DataDir,
}

impl Stack {
    /// Starts both parts and waits until they answer. The first time on a machine it fetches them.
    ///
    /// # Errors
    /// One clear line: a missing program, an occupied port, too little disk; or the end of a part's log.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let stack = tokio::task::spawn_blocking(move || -> anyhow::Result<Self> {
            let data = data(&options)?;
            let kafka =
                Kafka::spawn(&data.path().join("kafka"), &options.kafka, options.restart, options.on_event)?;
            Ok(Self { kafka, data })
        });
        let stack = stack.await.context("the start was cancelled")??;
        stack.kafka.process.ready(START).await?;
        Ok(stack)
    }

    /// Stops both in order. Kept data starts without recovery the next time.
    pub async fn stop(self) {
        self.kafka.process.stop().await;
    }

    /// The directory with the data and logs of the parts.
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }
}

fn data(options: &StackOptions) -> anyhow::Result<DataDir> {
    match &options.data {
        Some(dir) => DataDir::keep(dir),
        None => DataDir::temporary(),
    }
}
