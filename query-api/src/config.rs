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
    /// Readers' keys: the file of applications (role `reader`). Without it, or with none, reading is open.
    #[arg(long, env = "EYE_APPS", value_name = "FILE")]
    pub apps: Option<PathBuf>,
    /// Needs no key, also where readers are configured.
    #[arg(long, env = "EYE_QUERY_OPEN")]
    pub open: bool,
    /// Folders of event types beside the built-in ones.
    #[arg(long, env = "EYE_EVENT_TYPES", value_name = "DIR", value_delimiter = ':')]
    pub event_types: Vec<PathBuf>,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    /// Only for the audit, which compares the ledger with the ends of the log.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

/// What one question may cost. A question over its limit ends with a problem that says how to narrow it.
#[derive(Debug, Clone, Parser)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Seconds that ClickHouse may work on a question.
    #[arg(long = "query-seconds", env = "EYE_QUERY_SECONDS", default_value = "30", value_parser = seconds)]
    pub time: Duration,
    /// Memory in MiB that ClickHouse may use for a question.
    #[arg(long = "query-memory-mib", env = "EYE_QUERY_MEMORY_MIB", default_value_t = 1024)]
    pub memory_mib: u64,
    /// Questions under way at once; more are told to come back.
    #[arg(long = "query-concurrency", env = "EYE_QUERY_CONCURRENCY", default_value_t = 32)]
    pub concurrency: usize,
}

impl Limits {
    /// How long an answer is waited for: a question is one statement, or two, and a little around them.
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
