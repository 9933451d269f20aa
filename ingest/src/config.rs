//! The settings of an operator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use infra::kafka::KafkaConfig;
use infra::telemetry::TelemetryConfig;

/// The gateway of The Eye: takes events by HTTP, appends them to the log, and acknowledges what the brokers have.
#[derive(Debug, Parser)]
#[command(name = "ingest", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub config: Config,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Take events. This is the default.
    Run(Box<Config>),
    /// Keys of applications.
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key for an application. Prints it once, with the line to put into the registry.
    New {
        /// The application's name.
        app: String,
        /// The key is for web pages, where anybody can read it. It can only write.
        #[arg(long)]
        browser: bool,
        /// Days until it expires.
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Address and port to listen on.
    #[arg(long, env = "EYE_INGEST_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The registry of applications and their keys (TOML). The gateway reads it again when it changes, and on SIGHUP.
    #[arg(long, env = "EYE_APPS", value_name = "FILE")]
    pub apps: Option<PathBuf>,
    /// Certificate chain (PEM): with --tls-key the gateway speaks HTTPS.
    #[arg(long, env = "EYE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, env = "EYE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    #[command(flatten)]
    pub personal: PersonalConfig,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub log: LogConfig,
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

/// How personal values are kept out of the log.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Personal data")]
pub struct PersonalConfig {
    /// A folder with more event types, beside the built-in ones; may be given several times. The gateway replaces the
    /// values that their schemas mark with `"x-personal": "redact"` or `"hash"`. It reads the folders again when they
    /// change, and on SIGHUP.
    #[arg(long, env = "EYE_EVENT_TYPES", value_name = "DIR", value_delimiter = ':')]
    pub event_types: Vec<PathBuf>,
    /// The key of the hashes, 32 characters or more. With another key the same value has another hash.
    #[arg(long, env = "EYE_PERSONAL_KEY", value_name = "KEY", hide_env_values = true)]
    pub personal_key: Option<String>,
    /// What to do with an event whose type is not declared here. `append` takes it as it is. `refuse` answers with an
    /// error, since the schema may mark values that this gateway does not know yet. Default: `refuse` if any declared
    /// type has a value to replace, else `append`.
    #[arg(long, env = "EYE_UNDECLARED_TYPES", value_enum)]
    pub undeclared_types: Option<Undeclared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Undeclared {
    Append,
    Refuse,
}

/// The limits of a request.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Bytes of a body, both as sent and inflated.
    #[arg(long, env = "EYE_MAX_BODY_BYTES", default_value_t = 5 << 20, value_name = "BYTES")]
    pub max_body_bytes: usize,
    /// Bytes of one event. The brokers' message.max.bytes must leave room for its headers.
    #[arg(long, env = "EYE_MAX_EVENT_BYTES", default_value_t = 1_000_000, value_name = "BYTES")]
    pub max_event_bytes: usize,
    /// Events in one request.
    #[arg(long, env = "EYE_MAX_EVENTS", default_value_t = 10_000, value_name = "EVENTS")]
    pub max_events: usize,
    /// Bytes of bodies that are held at once, over all requests.
    #[arg(long, env = "EYE_MAX_BODIES_BYTES", default_value_t = 128 << 20, value_name = "BYTES")]
    pub max_bodies_bytes: usize,
    /// Connections at once. Further ones wait in the kernel's queue.
    #[arg(long, env = "EYE_MAX_CONNECTIONS", default_value_t = 10_000, value_name = "CONNECTIONS")]
    pub max_connections: usize,
    /// Seconds a sender may take for its headers, and again for its body.
    #[arg(long, env = "EYE_READ_SECONDS", default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub read: Duration,
}

/// The log and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Seconds after which a sender is told that the brokers are slow.
    #[arg(long, env = "EYE_WAIT_SECONDS", default_value = "5", value_name = "SECONDS", value_parser = seconds)]
    pub wait: Duration,
    /// Events that may wait for the brokers at once.
    #[arg(long, env = "EYE_QUEUE_EVENTS", default_value_t = 100_000, value_name = "EVENTS")]
    pub queue_events: u32,
    /// Bytes that may wait for the brokers at once.
    #[arg(long, env = "EYE_QUEUE_BYTES", default_value_t = 128 << 20, value_name = "BYTES")]
    pub queue_bytes: usize,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds between 0.1 and 3600 is needed".into()),
    }
}
