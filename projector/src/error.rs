//! What can go wrong between the log and the tables, and what becomes of it.

use rdkafka::error::KafkaError;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// No variant ends the process: a partition is tried again, with backoff, until it succeeds or is lost.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement with this query id is at work. Fate: wait for it.
    #[error("the same statement is still running")]
    Running,
    /// Too long ago that the intent was committed. Fate: it is committed again, if the partition is still ours.
    #[error("too late after the intent")]
    Late,
    /// ClickHouse answered with an error, or did not answer. Fate: what was inserted is compared with
    /// what should be, and completed.
    #[error("clickhouse: {0}")]
    ClickHouse(clickhouse::error::Error),
    /// Fate: the partition starts anew.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The log and the ledger contradict each other. Fate: tried again, but only an operator can help.
    #[error("{0}")]
    Contradiction(String),
    /// Fate: judged again by what judged it before, see `heal`.
    #[error("some of these offsets have a verdict already, by other rules")]
    Disputed,
    /// Inserted again and again, and still not there. Fate: tried again with backoff.
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
