//! What an operator can set.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use infra::database::{ClickHouseConfig, SMALL};
use infra::kafka::KafkaConfig;
use infra::telemetry::TelemetryConfig;

/// Answers questions about use and order from the tables of The Eye, and serves the console.
#[derive(Debug, Clone, Parser)]
#[command(name = "query-api", version, about)]
pub struct Config {
    /// Address and port to listen on.
    #[arg(long, env = "EYE_QUERY_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: String,
    /// The file of applications, which names the readers. Without the file, or without a reader, everybody may ask.
    #[arg(long, env = "EYE_APPS", value_name = "FILE")]
    pub apps: Option<PathBuf>,
    /// Let everybody ask, even if the file of applications names readers.
    #[arg(long, env = "EYE_QUERY_OPEN")]
    pub open: bool,
    /// Folders of event types, in addition to the built-in ones.
    #[arg(long, env = "EYE_EVENT_TYPES", value_name = "DIR", value_delimiter = ':')]
    pub event_types: Vec<PathBuf>,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    /// Used by the audit alone, which compares the ledger with the ends of the log.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

/// What one question may cost. A question that exceeds a limit is answered by a problem that says how to narrow it.
#[derive(Debug, Clone, Parser)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// How many seconds ClickHouse may work on a question.
    #[arg(long = "query-seconds", env = "EYE_QUERY_SECONDS", default_value = "30", value_parser = seconds)]
    pub time: Duration,
    /// How much memory, in MiB, ClickHouse may use for a question.
    #[arg(long = "query-memory-mib", env = "EYE_QUERY_MEMORY_MIB", default_value_t = 1024)]
    pub memory_mib: u64,
    /// How many questions may be under way at once. Further ones are told to try again.
    #[arg(long = "query-concurrency", env = "EYE_QUERY_CONCURRENCY", default_value_t = 32)]
    pub concurrency: usize,
}

impl Limits {
    /// How long to wait for an answer: a question is one or two large statements, and some small ones.
    pub(crate) fn patience(&self) -> Duration {
        self.time * 2 + SMALL
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("a number of seconds between 1 and 3600 is needed".into()),
    }
}
