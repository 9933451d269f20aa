//! Paths: contiguous windows of sessions, or sessions as a whole.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FeatureName, Numbers};
use crate::answer::Ask;
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::{Body, Filter, NoParams, Params, limit};
use crate::sql::Form::Count;
use crate::values::{Feature, Time};

/// The longest window.
const MAX_LENGTH: u8 = 12;

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PathsBody {
    /// Events of a path, 1 to 12 (3). With `whole_session`: only sessions of this length, 1 to 255.
    pub length: Option<u8>,
    /// What the path begins with.
    pub start: Option<FeatureName>,
    /// What it contains.
    pub through: Option<FeatureName>,
    /// What it ends with.
    pub end: Option<FeatureName>,
    /// Whole sessions rather than windows: the sessions that lie between `from` and `to` as a whole.
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
pub async fn paths(
    ask: Ask,
    Params(_): Params<NoParams>,
    Body { value: body, bytes }: Body<PathsBody>,
) -> Result<Response, Error> {
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
            let number = |feature: &Option<FeatureName>| {
                feature.as_ref().map(|feature| numbers.of(feature)).transpose()
            };
            let (start, through, end) = (number(&body.start)?, number(&body.through)?, number(&body.end)?);
            // A feature that was never used is in no path. In the statement 0 means "any".
            if [start, through, end].contains(&Some(0)) {
                return Ok(Paths { paths: Vec::new() });
            }
            let query = if body.whole_session {
                database.filtered("ordering/whole_sessions.sql", &filter, [])?
            } else {
                let bits = bits(numbers.highest());
                let form = [("length", Count(length.into())), ("bits", Count(bits.into()))];
                database.filtered("ordering/paths.sql", &filter, form)?.param("bits", bits)
            };
            let query = query
                .param("length", length)
                .param("start", start.unwrap_or(0))
                .param("through", through.unwrap_or(0))
                .param("end", end.unwrap_or(0))
                .param("limit", limit);
            Ok(Paths { paths: query.fetch_all().await? })
        })
        .await
}

/// The bits that a statement takes for a feature: enough for twice the `highest` number, because more features may be
/// used for the first time while the statement runs.
fn bits(highest: u16) -> u8 {
    (2 * u32::from(highest) + 1).ilog2().clamp(7, 15) as u8 + 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::bits;
    use crate::sql::Form::{Count, Is};
    use crate::sql::statement;

    #[test]
    fn a_path_is_as_small_a_number_as_its_features_need() {
        let check = |length: usize, highest, expected: u8, word: &str| {
            assert_eq!(bits(highest), expected, "for {highest}");
            let sizes = [("length", Count(length)), ("bits", Count(expected.into()))];
            let filters = ["spread", "ranged", "picked", "adding"].map(|name| (name, Is(false)));
            let form = BTreeMap::from_iter(sizes.into_iter().chain(filters));
            let sql = statement("ordering/paths.sql", form).unwrap();
            assert!(sql.contains(&format!("{word}(step_1)")), "{sql}");
        };
        check(1, 0, 8, "toUInt32");
        check(4, 127, 8, "toUInt32");
        check(4, 128, 9, "toUInt64");
        check(8, 100, 8, "toUInt64");
        check(12, 100, 8, "toUInt128");
        check(12, u16::MAX, 16, "toUInt256");
    }
}
