//! Answers from `usage_days`: a few rows a day instead of every event.

use clickhouse::Row;
use clickhouse::query::Query;
use infra::database::{SMALL, within};
use serde::Deserialize;

use crate::answer::{AsOf, Ask, Basis, Revision};
use crate::database::{Database, conditional};
use crate::error::Error;
use crate::params::Filter;
use crate::values::Time;

/// The part of `usage_days` that answers a question.
pub(crate) struct Days {
    as_of: AsOf,
    runs: Vec<u64>,
    /// Of the range, both inclusive; 1 is 1900-01-01.
    first_day: u32,
    last_day: u32,
}

impl Days {
    /// Nothing if the range does not consist of whole days (UTC), or if the days are not counted yet: then
    /// `sequences` knows, at a price.
    pub(crate) async fn of(ask: &mut Ask, filter: &Filter) -> Result<Option<Self>, Error> {
        #[derive(Row, Deserialize)]
        struct Epoch {
            runs: Vec<u64>,
            partitions: Vec<u16>,
            positions: Vec<u64>,
            /// Milliseconds.
            log_time: i64,
        }
        let (from, to) = filter.range();
        if !from.is_midnight() || !to.is_midnight() {
            return Ok(None);
        }
        let epoch = ask.database.small("SELECT runs, partitions, positions, log_time FROM usage_epoch");
        let epoch = async { Ok(within(SMALL, epoch.fetch_optional::<Epoch>()).await?) };
        // Meanwhile what the answer needs in any case.
        let (epoch, revision) = tokio::try_join!(epoch, Revision::read(&ask.database))?;
        ask.revision = Some(revision);
        Ok(epoch.map(|epoch| Self {
            as_of: AsOf {
                positions: epoch.partitions.into_iter().zip(epoch.positions).collect(),
                time: Some(Time::from_micros(epoch.log_time * 1000)),
            },
            runs: epoch.runs,
            first_day: from.day() as u32,
            last_day: (to.day() - 1) as u32,
        }))
    }

    pub(crate) fn basis(&self) -> Basis {
        Basis::Days(self.as_of.clone(), self.runs.clone())
    }

    /// `sql` goes on after days.sql; its rows count events of `kind`.
    pub(crate) fn query(&self, database: &Database, filter: &Filter, kind: u8, sql: &str) -> Query {
        let sql = conditional(&format!("{}{sql}", include_str!("days.sql")), |name| match name {
            "choosing" => Some(filter.kind() != 0),
            "ranged" => Some(filter.is_ranged()),
            _ => None,
        });
        filter
            .bind(database.query(&sql))
            .param("runs", &self.runs)
            .param("first_day", self.first_day)
            .param("last_day", self.last_day)
            .param("kind", kind)
    }
}
