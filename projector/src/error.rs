//! The errors between the log and the tables, and the fate of each.

use rdkafka::error::KafkaError;

use crate::log::Break;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// None of these ends the projector: it tries the partition again, with backoff, until it succeeds or is revoked. Only
/// a fatal error of librdkafka ends it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement with this query id is running. Fate: the projector waits for it.
    #[error("the same statement is still running")]
    Running,
    /// The intent was committed too long ago. Fate: it is committed again, if the partition is still owned.
    #[error("the intent was committed too long ago")]
    Late,
    /// ClickHouse answered with an error, or did not answer. Fate: the inserted rows are compared with those that
    /// should be there, and completed.
    #[error("clickhouse: {0}")]
    ClickHouse(clickhouse::error::Error),
    /// Fate: the partition starts again.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The log is not the one that the tables were made from. Fate: nothing of the partition is projected until the log
    /// is the right one again, or a person decides.
    #[error("{0}")]
    OtherLog(Break),
    /// What must not be. Fate: tried again.
    #[error("{0}")]
    Contradiction(String),
    /// Fate: each offset is judged again by the schema version of its verdict, see `heal`.
    #[error("some of these offsets have a verdict already, by other rules")]
    Disputed,
    /// The rows were inserted several times and are still missing. Fate: tried again with backoff.
    #[error("{missing} rows of {range} are not in the tables after {attempts} inserts")]
    NotHealed { range: String, missing: usize, attempts: u32 },
    /// The runtime is shutting down. Fate: none.
    #[error("stopped")]
    Stopped,
}

impl From<clickhouse::error::Error> for Error {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::ClickHouse(error)
    }
}

impl Error {
    /// Tells "query with this id is already running" (216) from other errors.
    pub(crate) fn from_insert(error: clickhouse::error::Error) -> Self {
        match infra::database::exception_code(&error) {
            Some(216) => Self::Running,
            _ => Self::ClickHouse(error),
        }
    }
}
