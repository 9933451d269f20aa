//! In what order features are used.
//!
//! All questions read `sequences`. The filters by time, app, category and name come first: neighbours, paths and steps
//! are those of the events that the filters leave of a session. The beginning and the end of a session stay where they
//! are, whatever the filters. Equal times are ordered by arrival.

pub mod ends;
pub mod flow;
pub mod funnel;
pub mod paths;
pub mod precedence;
pub mod retention;
pub mod transitions;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::database::{Database, small};
use crate::error::Error;

/// A feature as a body names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureName {
    pub category: String,
    pub name: String,
}

/// The numbers of features in `sequences`. A feature that nobody used yet has the number 0, which no event has.
struct Numbers {
    known: HashMap<(String, String), u16>,
    is_adding: bool,
}

impl Numbers {
    async fn read(database: &Database) -> Result<Self, Error> {
        let rows: Vec<(String, String, u16)> =
            small(database.query("ordering/numbers.sql", [])?).fetch_all().await?;
        let known = rows.into_iter().map(|(category, name, id)| ((category, name), id)).collect();
        Ok(Self { known, is_adding: database.is_adding() })
    }

    fn highest(&self) -> u16 {
        self.known.values().copied().max().unwrap_or(0)
    }

    /// # Errors
    /// The feature has no number, and the question adds a stretch of the log, which may have its first use.
    fn of(&self, feature: &FeatureName) -> Result<u16, Error> {
        match self.known.get(&(feature.category.clone(), feature.name.clone())) {
            None if self.is_adding => Err(Error::Unnumbered),
            number => Ok(number.copied().unwrap_or(0)),
        }
    }
}
