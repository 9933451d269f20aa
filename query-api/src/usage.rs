//! Which features are used most, rarely or never, and when.

pub mod apps;
mod days;
pub mod features;
pub mod over_time;
pub mod unused;

use infra::database::{SMALL, within};

use crate::as_of::Basis;
use crate::database::{Database, small};
use crate::error::Error;
use crate::params::Filter;

pub(crate) use days::Days;

/// What `usage_days` calls the kind of event that is a use of a feature.
const FEATURE: u8 = 2;

/// The tables that use is read from: the same answer at different costs.
pub(crate) enum Source {
    Days(Days),
    /// Each event is read: the range is narrow.
    Events,
    Sequences,
}

impl Source {
    /// The days, if the question has them.
    pub(crate) async fn of(database: &Database, days: Option<Days>, filter: &Filter) -> Result<Self, Error> {
        if let Some(days) = days {
            return Ok(Self::Days(days));
        }
        if !filter.is_ranged() {
            return Ok(Self::Sequences);
        }
        let (from, to) = filter.range();
        let narrow = small(database.query("usage/is_narrow.sql", [])?);
        let narrow = narrow.param("first_day", from.day()).param("last_day", to.day());
        Ok(if within(SMALL, narrow.fetch_one()).await? { Self::Events } else { Self::Sequences })
    }

    pub(crate) fn basis(&self) -> Basis {
        match self {
            Self::Days(days) => days.basis(),
            Self::Events => Basis::Log,
            Self::Sequences => Basis::Sequences,
        }
    }
}
