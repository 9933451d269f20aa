//! Logs: text for people, JSON for machines, on stderr.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct TelemetryConfig {
    /// What to log: a level, or `target=level` pairs separated by commas.
    #[arg(long = "log", env = "EYE_LOG", default_value = "info", value_name = "FILTER")]
    pub filter: String,
    /// How to write it.
    #[arg(long = "log-format", env = "EYE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Installs the global subscriber. Call it once, first thing in `main`.
///
/// # Errors
/// A filter that does not parse.
pub fn init(config: &TelemetryConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| anyhow::anyhow!("--log {:?} is not a filter: {error}", config.filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder.compact().init(),
        // Of a request its span says the id; there are no others to list.
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).init(),
    }
    Ok(())
}
