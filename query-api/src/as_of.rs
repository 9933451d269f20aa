//! What the tables include of the log, and whether they changed: all that a question must know of freshness.

pub(crate) mod found;
pub(crate) mod stretch;
mod whole;

use std::collections::BTreeMap;

use clickhouse::Row;
use infra::database::{SMALL, within};
use serde::{Deserialize, Serialize};
use tables::derived::MOST_ADDED;
use utoipa::ToSchema;

use crate::database::{Database, small};
use crate::error::Error;
use crate::values::Time;

use stretch::Stretch;

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
    /// `sequences`, and what their last pass did not see.
    Sequences,
    /// `usage_days`, which were looked at when their epoch was read, and what their last pass did not count.
    Days(Moment),
}

/// The state of the tables at one look.
#[derive(Debug, Clone)]
pub struct Moment {
    /// What the tables of the basis include.
    kept: AsOf,
    /// What an answer includes that adds the stretch from there to the end of the row tables; none if there is nothing
    /// to add, or too much.
    added: Option<(AsOf, Stretch)>,
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
        match self {
            Self::Log => {
                let (log, revision) = tokio::try_join!(AsOf::of_log(database), Revision::read(database))?;
                Ok(Moment { kept: log, added: None, revision, runs: Vec::new() })
            }
            Self::Sequences => {
                let (log, kept, revision) = tokio::try_join!(
                    AsOf::of_log(database),
                    read::<Sequences>(database, "as_of/sequences.sql"),
                    Revision::read(database)
                )?;
                let features = kept.first().map_or(0, |row| row.features);
                let moment = Moment::of(Sequences::as_of(kept), log, revision, Vec::new());
                Ok(moment.unless_empty(features))
            }
            Self::Days(moment) => Ok(moment),
        }
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
            features: u64,
        }
        let (epoch, log, revision) = tokio::try_join!(
            read::<Epoch>(database, "as_of/epoch.sql"),
            AsOf::of_log(database),
            Revision::read(database)
        )?;
        Ok(epoch.into_iter().next().map(|epoch| {
            let kept = AsOf {
                positions: epoch.partitions.into_iter().zip(epoch.positions).collect(),
                time: Some(Time::from_millis(epoch.log_time)),
            };
            Self::of(kept, log, revision, epoch.runs).unless_empty(epoch.features)
        }))
    }

    fn of(kept: AsOf, log: AsOf, revision: Revision, runs: Vec<u64>) -> Self {
        let stretch = Stretch::between(&kept.positions, &log.positions);
        let added = (1..=MOST_ADDED).contains(&stretch.len()).then(|| {
            let mut positions = kept.positions.clone();
            positions.extend(stretch.ends());
            (AsOf { positions, time: kept.time.max(log.time) }, stretch)
        });
        Self { kept, added, revision, runs }
    }

    /// Nothing is added before there is a numbered feature: ClickHouse joins nothing with an empty dictionary, and does
    /// not even look for features without a number.
    fn unless_empty(self, features: u64) -> Self {
        if features == 0 { self.kept() } else { self }
    }

    pub(crate) fn as_of(&self) -> &AsOf {
        self.added.as_ref().map_or(&self.kept, |(as_of, _)| as_of)
    }

    /// What a question adds to the tables of the basis.
    pub(crate) fn added(&self) -> Option<&Stretch> {
        self.added.as_ref().map(|(_, stretch)| stretch)
    }

    /// The same moment for a question that adds nothing.
    pub(crate) fn kept(self) -> Self {
        Self { added: None, ..self }
    }

    /// What tells it from every other moment.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let positions = self.as_of().positions.iter();
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

impl Revision {
    async fn read(database: &Database) -> Result<Self, Error> {
        let revision = small(database.query("as_of/revision.sql", [])?);
        Ok(within(SMALL, revision.fetch_one()).await?)
    }
}

impl AsOf {
    /// What all row tables include.
    pub(crate) async fn of_log(database: &Database) -> Result<Self, Error> {
        whole::look(database).await
    }

    /// What `sequences` include.
    pub(crate) async fn of_sequences(database: &Database) -> Result<Self, Error> {
        Ok(Sequences::as_of(read(database, "as_of/sequences.sql").await?))
    }

    fn of(rows: Vec<Position>) -> Self {
        Self {
            time: rows.iter().map(|row| Time::from_millis(row.log_time)).max(),
            positions: rows.into_iter().map(|row| (row.partition, row.position)).collect(),
        }
    }
}

struct Position {
    partition: u16,
    position: u64,
    /// Milliseconds.
    log_time: i64,
}

/// A row of sequences.sql.
#[derive(Row, Deserialize)]
struct Sequences {
    partition: u16,
    position: u64,
    /// Milliseconds.
    log_time: i64,
    /// How many features have a number.
    features: u64,
}

impl Sequences {
    fn as_of(rows: Vec<Self>) -> AsOf {
        let position =
            |Self { partition, position, log_time, .. }| Position { partition, position, log_time };
        AsOf::of(rows.into_iter().map(position).collect())
    }
}

async fn read<T: clickhouse::RowOwned + clickhouse::RowRead>(
    database: &Database,
    file: &str,
) -> Result<Vec<T>, Error> {
    Ok(within(SMALL, small(database.query(file, [])?).fetch_all()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_of(positions: &[(u16, u64)], millis: i64) -> AsOf {
        AsOf { positions: positions.iter().copied().collect(), time: Some(Time::from_millis(millis)) }
    }

    fn moment(kept: &[(u16, u64)], log: &[(u16, u64)]) -> Moment {
        Moment::of(as_of(kept, 1), as_of(log, 2), Revision { rows: 0, changed: 0 }, Vec::new())
    }

    #[test]
    fn a_question_adds_what_the_last_pass_did_not_see() {
        let moment = moment(&[(0, 5), (1, 7), (2, 9)], &[(0, 8), (1, 7), (2, 3), (4, 2)]);
        assert_eq!(
            moment.added(),
            Some(&Stretch { partitions: vec![0, 4], starts: vec![5, 0], ends: vec![8, 2] })
        );
        // Rows of partition 2 were lost: the sequences still have them.
        let positions = BTreeMap::from([(0, 8), (1, 7), (2, 9), (4, 2)]);
        assert_eq!(moment.as_of().positions, positions);
        assert_eq!(moment.as_of().time, Some(Time::from_millis(2)));
        let kept = moment.kept();
        assert_eq!((kept.added(), kept.as_of().time), (None, Some(Time::from_millis(1))));
    }

    #[test]
    fn a_question_adds_nothing_if_there_is_nothing_or_too_much() {
        assert_eq!(moment(&[(0, 5)], &[(0, 5)]).added(), None);
        assert_eq!(moment(&[(0, 5)], &[(0, 5 + MOST_ADDED + 1)]).added(), None);
        let most = moment(&[(0, 5)], &[(0, 5 + MOST_ADDED)]);
        assert!(most.clone().unless_empty(1).added().is_some());
        assert_eq!(most.unless_empty(0).added(), None);
    }
}
