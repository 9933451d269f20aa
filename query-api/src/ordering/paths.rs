//! Paths: contiguous windows of sessions, or sessions as a whole.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FeatureName, Numbers, question};
use crate::answer::{Ask, Basis};
use crate::database::selected_sql;
use crate::error::Error;
use crate::params::{Body, Filter, limit};
use crate::values::{Feature, Time};

/// The longest window.
const MAX_LENGTH: u8 = 12;

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PathsBody {
    /// Events of a path, 1 to 12 (3). Of whole sessions: only those of this length, 1 to 255.
    pub length: Option<u8>,
    /// What the path begins with.
    pub start: Option<FeatureName>,
    /// What it contains.
    pub through: Option<FeatureName>,
    /// What it ends with.
    pub end: Option<FeatureName>,
    /// The sessions as a whole rather than windows of them.
    pub whole_session: bool,
    pub from: Option<Time>,
    pub to: Option<Time>,
    pub app: Option<String>,
    pub category: Option<String>,
    pub name: Option<String>,
    /// How many paths, 1 to 10000 (100).
    pub limit: Option<u32>,
}

/// A path and how often it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct PathCount {
    pub steps: Vec<Feature>,
    /// Occurrences, overlapping ones included.
    pub count: u64,
    /// Distinct sessions.
    pub sessions: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Paths {
    pub paths: Vec<PathCount>,
}

/// The most frequent paths; ties in the order of their steps (category, then name, by code points).
#[utoipa::path(post, path = "/v1/order/paths", tag = "Order", request_body = PathsBody, responses((status = 200, body = Paths)))]
pub async fn paths(ask: Ask, Body { value: body, bytes }: Body<PathsBody>) -> Result<Response, Error> {
    let filter =
        Filter::new(body.from, body.to, body.app.as_deref(), body.category.as_deref(), body.name.as_deref())?;
    let limit = limit(body.limit, 100, 10_000)?;
    let length = match (body.whole_session, body.length) {
        (true, length) if length != Some(0) => length.unwrap_or(0),
        (false, None) => 3,
        (false, Some(length @ 1..=MAX_LENGTH)) => length,
        (_, length) => {
            let length = length.unwrap_or(0);
            return Err(Error::parameter(
                "length",
                format!("`length` is {length}, but must be 1 to {MAX_LENGTH}"),
            ));
        }
    };
    ask.about(&bytes)
        .answer(Basis::Sequences, async |database, _| {
            let numbers = Numbers::read(database).await?;
            let number = |feature: &Option<FeatureName>| feature.as_ref().map(|feature| numbers.of(feature));
            let (start, through, end) = (number(&body.start), number(&body.through), number(&body.end));
            // A feature that was never used is in no path; to the statement 0 means "any".
            if [start, through, end].contains(&Some(0)) {
                return Ok(Paths { paths: Vec::new() });
            }
            let sql = match (body.whole_session, length) {
                (true, _) => selected_sql!("ordering/whole_sessions.sql"),
                (false, 1..=4) => selected_sql!("ordering/paths.sql"),
                (false, _) => selected_sql!("ordering/paths_long.sql"),
            };
            let mut query = question(database, &filter, sql)
                .param("length", length)
                .param("start", start.unwrap_or(0))
                .param("through", through.unwrap_or(0))
                .param("end", end.unwrap_or(0))
                .param("limit", limit);
            if !body.whole_session {
                for (word, name) in ["mask1", "mask2", "mask3"].into_iter().enumerate() {
                    query = query.param(name, mask(length, word as u8));
                }
            }
            Ok(Paths { paths: query.fetch_all().await? })
        })
        .await
}

/// The bits of word `word` (0, 1, 2: four features each, the first in the highest bits) that a path of
/// `length` features fills.
fn mask(length: u8, word: u8) -> u64 {
    match length.saturating_sub(4 * word) {
        0 => 0,
        features @ 1..=3 => !(u64::MAX >> (16 * u32::from(features))),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn masks_keep_the_features_of_the_path() {
        assert_eq!([mask(3, 0), mask(3, 1), mask(3, 2)], [0xffff_ffff_ffff_0000, 0, 0]);
        assert_eq!([mask(4, 0), mask(4, 1), mask(4, 2)], [u64::MAX, 0, 0]);
        assert_eq!([mask(9, 0), mask(9, 1), mask(9, 2)], [u64::MAX, u64::MAX, 0xffff_0000_0000_0000]);
    }
}
