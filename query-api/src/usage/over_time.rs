//! Use over time, bucket by bucket.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Days, Source};
use crate::answer::Ask;
use crate::calendar::{Interval, fill};
use crate::database::Database;
use crate::error::Error;
use crate::params::{Filter, Params, filtered};
use crate::values::Time;

filtered! {
    pub struct UsageParams {
        /// Length of a bucket; buckets start on full minutes, hours, days, Mondays, months in UTC.
        #[param(inline)]
        pub interval: Interval,
    }
}

/// One bucket of time.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    pub start: Time,
    pub events: u64,
    /// Distinct sessions with an event in this bucket.
    pub sessions: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    pub series: Vec<Bucket>,
}

/// Use over time, buckets without events included. The first bucket is that of `from`, or of the first event; the last
/// bucket is that of `to`, or of the last event.
#[utoipa::path(get, path = "/v1/usage", tag = "Usage", params(UsageParams), responses((status = 200, body = Usage)))]
pub async fn usage(ask: Ask, Params(params): Params<UsageParams>) -> Result<Response, Error> {
    let filter = params.filter()?;
    let interval = params.interval;
    let days = match interval {
        Interval::Day | Interval::Week | Interval::Month if !filter.any_category() => {
            Days::of(&ask.database, &filter).await?
        }
        _ => None,
    };
    let source = Source::of(&ask.database, days, &filter).await?;
    ask.answer(source.basis(), async |database, _| {
        let found = series(database, &source, &filter, interval.width()).await?;
        let empty = |start| Bucket { start, events: 0, sessions: 0 };
        Ok(Usage { series: fill(found, |bucket| bucket.start, empty, interval, params.from, params.to)? })
    })
    .await
}

/// The buckets that have events, of `width` microseconds; 0 is a month.
async fn series(
    database: &Database,
    source: &Source,
    filter: &Filter,
    width: i64,
) -> Result<Vec<Bucket>, Error> {
    let query = match source {
        Source::Days(days) => days
            .query(database, filter, &[filter.kind()], "usage/series_days.sql")?
            .param("width", width / Interval::Day.width()),
        Source::Events => database.filtered("usage/series_rows.sql", filter, [])?.param("width", width),
        Source::Sequences => database.filtered("usage/series.sql", filter, [])?.param("width", width),
    };
    Ok(query.fetch_all().await?)
}
