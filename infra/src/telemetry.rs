//! Logs: text for people, JSON for machines, on stderr. Traces, if a collector is named.

use clap::{Args, ValueEnum};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::traces;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs and traces")]
pub struct TelemetryConfig {
    /// What to log: a level, or `target=level` pairs separated by commas.
    #[arg(long = "log", env = "EYE_LOG", default_value = "info", value_name = "FILTER")]
    pub filter: String,
    /// How to write it.
    #[arg(long = "log-format", env = "EYE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub format: LogFormat,
    /// An OpenTelemetry collector that takes traces: OTLP over HTTP, such as http://127.0.0.1:4318.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Sends the last spans when it is dropped: keep it until the end of `main`.
#[derive(Debug)]
#[must_use]
pub struct Telemetry(());

impl Drop for Telemetry {
    fn drop(&mut self) {
        traces::end();
    }
}

/// Installs the global subscriber. Call it once, first thing in `main`. `service` is the name in traces.
///
/// # Errors
/// A filter that does not parse, or an invalid address of the collector.
pub fn init(config: &TelemetryConfig, service: &'static str) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| anyhow::anyhow!("--log {:?} is not a filter: {error}", config.filter))?;
    let logs = fmt::layer().with_writer(std::io::stderr);
    let logs: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text => logs.compact().with_filter(filter).boxed(),
        // The span of a request has its id. There are no other spans to list.
        LogFormat::Json => logs.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    };
    let endpoint = config.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    let traces = endpoint.map(|endpoint| traces::layer(endpoint, service)).transpose()?;
    tracing_subscriber::registry().with(logs).with(traces).init();
    Ok(Telemetry(()))
}
