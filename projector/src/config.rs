//! The settings: command line and environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use infra::database::ClickHouseConfig;
use infra::kafka::KafkaConfig;
use schemas::apps::Apps;
use schemas::erasure::Erasers;
use schemas::{Judge, Registry, Settings};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::judge::chunk::MAX_BLOCK_ROWS;

/// The settings of a projection.
#[derive(Debug, Clone, Args)]
pub struct ProjectorConfig {
    #[command(flatten)]
    pub kafka: KafkaConfig,
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    #[command(flatten)]
    pub judge: JudgeConfig,
    #[command(flatten)]
    pub chunks: ChunkConfig,
    #[command(flatten)]
    pub group: GroupConfig,
    /// The address of /healthz, /readyz and /metrics.
    #[arg(long, env = "EYE_PROJECTOR_LISTEN", default_value = "127.0.0.1:8082")]
    pub listen: SocketAddr,
    /// How many days of log time ClickHouse keeps records. Older ones keep only their verdict. 0 keeps everything.
    #[arg(long, env = "EYE_RETENTION_DAYS", default_value_t = 0, value_name = "DAYS")]
    pub retention_days: u32,
    /// Minutes between two audits of the partitions that this projector owns; 0 for none.
    #[arg(long, env = "EYE_AUDIT_MINUTES", default_value_t = 10)]
    pub audit_minutes: u64,
}

/// What verdicts depend on besides the log. All projectors of a generation need the same settings.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Verdicts")]
pub struct JudgeConfig {
    /// A folder with more event types, beside the built-in ones; may be given several times.
    #[arg(long, env = "EYE_EVENT_TYPES", value_name = "DIR", value_delimiter = ':')]
    pub event_types: Vec<PathBuf>,
    /// The file with the registered applications.
    #[arg(long, env = "EYE_APPS", value_name = "FILE")]
    pub apps: Option<PathBuf>,
    /// How many seconds a record waits if the files do not name its application or event type: gateways and
    /// applications may have newer files.
    #[arg(long, env = "EYE_REGISTRY_WAIT", default_value_t = 10, value_name = "SECONDS")]
    pub registry_wait: u32,
    /// How many seconds a timestamp may lie after the record's receipt.
    #[arg(long, env = "EYE_FUTURE_TOLERANCE", default_value_t = 60, value_name = "SECONDS")]
    pub future_tolerance: u32,
    /// The most bytes of a record. A larger one is rejected as record_too_large, and its first 64 KiB are kept.
    #[arg(long, env = "EYE_MAX_RECORD_BYTES", default_value_t = 1 << 20, value_name = "BYTES")]
    pub max_record_bytes: usize,
    /// A file with the keys that sign requests to erase, one a line. Without it everybody may erase who may write to
    /// the topic.
    #[arg(long, env = "EYE_ERASE_KEYS", value_name = "FILE")]
    pub erase_keys: Option<PathBuf>,
    /// Requests to erase from before this time of the log need no signature.
    #[arg(long, env = "EYE_ERASE_UNSIGNED_UNTIL", value_name = "RFC 3339", value_parser = time)]
    pub erase_unsigned_until: Option<i64>,
    /// For how many hours of log time an event_id is remembered. A million ids take 24 to 57 MB.
    #[arg(long, env = "EYE_DUPLICATE_WINDOW", default_value_t = 24, value_name = "HOURS")]
    pub duplicate_window: u32,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Chunks")]
pub struct ChunkConfig {
    /// The most rows that are inserted at once.
    #[arg(long, env = "EYE_CHUNK_ROWS", default_value_t = 100_000, value_name = "ROWS")]
    pub chunk_rows: usize,
    /// The most bytes that are inserted at once, give or take a record.
    #[arg(long, env = "EYE_CHUNK_BYTES", default_value_t = 32 << 20, value_name = "BYTES")]
    pub chunk_bytes: usize,
    /// How long a record of a quiet partition waits for others.
    #[arg(long, env = "EYE_QUICK_MS", default_value_t = 20, value_name = "MS")]
    pub quick_ms: u64,
    /// How many inserts a projector makes in a second, if it has all partitions and records come without a pause. Each
    /// insert costs ClickHouse some 20 ms of a core, and a record waits for the next one.
    #[arg(long, env = "EYE_INSERTS_PER_SECOND", default_value_t = 4.5, value_name = "N")]
    pub inserts_per_second: f64,
    /// The most bytes of rows in memory, over all partitions; reading pauses above it.
    #[arg(long, env = "EYE_CHUNK_MEMORY", default_value_t = 256 << 20, value_name = "BYTES")]
    pub chunk_memory: usize,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Consumer group")]
pub struct GroupConfig {
    /// The consumer group. The generation's database is appended to it: eye-projector-eye_g1. Deployments whose
    /// databases have the same name on different servers need different ones.
    #[arg(long, env = "EYE_PROJECTOR_GROUP", default_value = "eye-projector")]
    pub group: String,
    /// The group's protocol: `consumer` is KIP-848, for brokers from 4.0 on.
    #[arg(long, env = "EYE_GROUP_PROTOCOL", value_enum, default_value_t = GroupProtocol::Consumer)]
    pub group_protocol: GroupProtocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GroupProtocol {
    Consumer,
    Classic,
}

/// Reads the file of `--erase-keys`; without it, everybody may erase.
pub(crate) fn read_erasers(file: Option<&Path>, unsigned_until: Option<i64>) -> anyhow::Result<Erasers> {
    let Some(file) = file else { return Ok(Erasers::default()) };
    Erasers::load(file, unsigned_until.unwrap_or(i64::MIN))
        .with_context(|| format!("the keys of --erase-keys {}", file.display()))
}

/// Milliseconds since 1970.
fn time(text: &str) -> Result<i64, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|error| format!("{text:?}: {error}"))?;
    Ok((time.unix_timestamp_nanos() / 1_000_000) as i64)
}

impl ProjectorConfig {
    /// # Errors
    /// A setting that can't work; the message says why.
    pub fn validate(&self) -> anyhow::Result<()> {
        let rows = self.chunks.chunk_rows;
        ensure!(
            (1..MAX_BLOCK_ROWS).contains(&rows),
            "--chunk-rows is {rows}: give a number from 1 to {}, more might not be inserted as one block",
            MAX_BLOCK_ROWS - 1
        );
        let inserts = self.chunks.inserts_per_second;
        ensure!(
            (0.1..=50.0).contains(&inserts),
            "--inserts-per-second is {inserts}: give a number from 0.1 to 50"
        );
        let bytes = self.chunks.chunk_bytes;
        ensure!(
            (1..=128 << 20).contains(&bytes),
            "--chunk-bytes is {bytes}: give at most {}, more might not be inserted as one block",
            128 << 20
        );
        Ok(())
    }

    /// The name of the consumer group that projects a generation. It names the database: members with other tables
    /// would get partitions that these tables then lack.
    pub fn group_of(&self, generation: u32) -> String {
        format!("{}-{}", self.group.group, self.clickhouse.generation(generation))
    }
}

impl JudgeConfig {
    /// Reads the event types and applications.
    ///
    /// # Errors
    /// A file that can't be read or is not valid; the message names it.
    pub fn load(&self, topic: &str) -> anyhow::Result<Judge> {
        let (registry, apps) = (self.read_event_types()?, self.read_apps()?);
        if self.apps.is_none() {
            tracing::warn!("no --apps: every record is rejected as unknown_application");
        }
        let settings = Settings {
            topic: topic.into(),
            future_tolerance_us: i64::from(self.future_tolerance) * 1_000_000,
            max_record_bytes: self.max_record_bytes,
            erasers: Arc::new(read_erasers(self.erase_keys.as_deref(), self.erase_unsigned_until)?),
        };
        Ok(Judge::new(Arc::new(registry), Arc::new(apps), settings))
    }

    pub(crate) fn read_event_types(&self) -> anyhow::Result<Registry> {
        Registry::load(&self.event_types).context("event types")
    }

    pub(crate) fn read_apps(&self) -> anyhow::Result<Apps> {
        let apps = self.apps.as_deref().map(Apps::load).transpose();
        Ok(apps.context("applications")?.unwrap_or_default())
    }

    /// Milliseconds.
    pub(crate) fn window(&self) -> i64 {
        i64::from(self.duplicate_window) * 3_600_000
    }
}

impl ChunkConfig {
    pub(crate) fn quick(&self) -> Duration {
        Duration::from_millis(self.quick_ms)
    }
}
