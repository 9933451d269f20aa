//! Answers from `usage_days`: a few rows a day instead of every event.

use clickhouse::query::Query;

use crate::as_of::{Basis, Moment};
use crate::database::Database;
use crate::error::Error;
use crate::params::Filter;

/// The part of `usage_days` that answers a question.
pub(crate) struct Days {
    moment: Moment,
    /// The first and the last day of the range, both inclusive; 1 is 1900-01-01.
    first_day: u32,
    last_day: u32,
}

impl Days {
    /// None if the range does not consist of whole days (UTC), or if the days are not counted yet: then `sequences`
    /// have the answer, at a higher cost.
    pub(crate) async fn of(database: &Database, filter: &Filter) -> Result<Option<Self>, Error> {
        let (from, to) = filter.range();
        if !from.is_midnight() || !to.is_midnight() {
            return Ok(None);
        }
        Ok(Moment::of_days(database).await?.map(|moment| Self {
            moment,
            first_day: from.day() as u32,
            last_day: (to.day() - 1) as u32,
        }))
    }

    pub(crate) fn basis(&self) -> Basis {
        Basis::Days(self.moment.clone())
    }

    /// The statement of a file that begins with days.sql, whose rows count events of these kinds.
    pub(crate) fn query(
        &self,
        database: &Database,
        filter: &Filter,
        kinds: &[u8],
        file: &str,
    ) -> Result<Query, Error> {
        Ok(database
            .filtered(file, filter, [])?
            .param("runs", &self.moment.runs)
            .param("first_day", self.first_day)
            .param("last_day", self.last_day)
            .param("kinds", kinds))
    }
}
