//! What the tables include of the log, and whether they changed: all that a question must know of freshness.

use std::collections::BTreeMap;

use clickhouse::Row;
use infra::database::{SMALL, within};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::database::{Database, small};
use crate::error::Error;
use crate::values::Time;

/// What part of the log an answer includes, at least.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AsOf {
    /// Partition to position: all offsets below it are included.
    pub positions: BTreeMap<u16, u64>,
    /// The broker's time of the newest record that is included; null for an empty log.
    pub time: Option<Time>,
}

/// Which tables an answer rests on.
#[derive(Debug, Clone)]
pub enum Basis {
    /// The row tables, written with the log.
    Log,
    /// `sequences`, a few seconds behind.
    Sequences,
    /// `usage_days`, which were looked at when their epoch was read.
    Days(Moment),
}

/// The state of the tables at one look.
#[derive(Debug, Clone)]
pub struct Moment {
    pub as_of: AsOf,
    revision: Revision,
    /// The runs of `usage_days` that are counted. No other count of the same days has them.
    pub(crate) runs: Vec<u64>,
}

/// Changes whenever answers may change though the log does not.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct Revision {
    rows: u64,
    changed: u64,
}

impl Basis {
    /// Looks at the tables. An answer that is read afterwards includes at least what this finds.
    pub(crate) async fn look(self, database: &Database) -> Result<Moment, Error> {
        let (as_of, revision) = match self {
            Self::Log => tokio::try_join!(AsOf::of_log(database), Revision::read(database))?,
            Self::Sequences => tokio::try_join!(AsOf::of_sequences(database), Revision::read(database))?,
            Self::Days(moment) => return Ok(moment),
        };
        Ok(Moment { as_of, revision, runs: Vec::new() })
    }
}

impl Moment {
    /// The newest epoch of `usage_days`; none if no days are counted yet, or if they are being repaired.
    pub(crate) async fn of_days(database: &Database) -> Result<Option<Self>, Error> {
        #[derive(Row, Deserialize)]
        struct Epoch {
            runs: Vec<u64>,
            partitions: Vec<u16>,
            positions: Vec<u64>,
            /// Milliseconds.
            log_time: i64,
        }
        let epoch = small(database.query("as_of/epoch.sql", [])?);
        let epoch = async { Ok(within(SMALL, epoch.fetch_optional::<Epoch>()).await?) };
        let (epoch, revision) = tokio::try_join!(epoch, Revision::read(database))?;
        Ok(epoch.map(|epoch| Self {
            as_of: AsOf {
                positions: epoch.partitions.into_iter().zip(epoch.positions).collect(),
                time: Some(Time::from_micros(epoch.log_time * 1000)),
            },
            revision,
            runs: epoch.runs,
        }))
    }

    /// What tells it from every other moment.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let positions = self.as_of.positions.iter();
        [self.revision.rows, self.revision.changed]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .chain(positions.flat_map(|(partition, position)| {
                partition.to_le_bytes().into_iter().chain(position.to_le_bytes())
            }))
            .chain(self.runs.iter().flat_map(|run| run.to_le_bytes()))
            .collect()
    }
}

impl AsOf {
    /// What the row tables include.
    pub(crate) async fn of_log(database: &Database) -> Result<Self, Error> {
        Self::read(database, "as_of/log.sql").await
    }

    /// What `sequences` include.
    pub(crate) async fn of_sequences(database: &Database) -> Result<Self, Error> {
        Self::read(database, "as_of/sequences.sql").await
    }

    async fn read(database: &Database, file: &str) -> Result<Self, Error> {
        #[derive(Row, Deserialize)]
        struct Position {
            partition: u16,
            position: u64,
            /// Milliseconds.
            log_time: i64,
        }
        let rows: Vec<Position> = within(SMALL, small(database.query(file, [])?).fetch_all()).await?;
        Ok(Self {
            time: rows.iter().map(|row| Time::from_micros(row.log_time * 1000)).max(),
            positions: rows.into_iter().map(|row| (row.partition, row.position)).collect(),
        })
    }
}

impl Revision {
    async fn read(database: &Database) -> Result<Self, Error> {
        let revision = small(database.query("as_of/revision.sql", [])?);
        Ok(within(SMALL, revision.fetch_one()).await?)
    }
}
