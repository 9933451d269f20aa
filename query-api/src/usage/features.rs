//! The features that are used most, or least.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Days, FEATURE, Source};
use crate::answer::Ask;
use crate::database::Database;
use crate::error::Error;
use crate::params::{Filter, Params, filtered, limit};
use crate::values::{Time, word};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    Most,
    Least,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    #[default]
    Events,
    Sessions,
}

filtered! {
    pub struct FeaturesParams {
        /// Most or least used first; ties by category, then name.
        #[param(inline)]
        pub order: Order,
        /// Whether events or sessions count.
        #[param(inline)]
        pub by: By,
        /// How many features, 1 to 10000 (1000).
        pub limit: Option<u32>,
    }
}

/// How a feature was used.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct FeatureUse {
    pub category: String,
    pub name: String,
    pub events: u64,
    /// Distinct sessions.
    pub sessions: u64,
    pub first_seen: Time,
    pub last_seen: Time,
}

/// How much all features together were used, whatever `limit` lists.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Total {
    pub events: u64,
    /// Distinct sessions: one that used several features counts once.
    pub sessions: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Features {
    pub features: Vec<FeatureUse>,
    pub total: Total,
}

/// The used features, most or least used first.
#[utoipa::path(get, path = "/v1/features", tag = "Usage", params(FeaturesParams), responses((status = 200, body = Features)))]
pub async fn features(ask: Ask, Params(params): Params<FeaturesParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 10_000)?);
    let days = if filter.any_category() { None } else { Days::of(&ask.database, &filter).await? };
    let source = Source::of(&ask.database, days, &filter).await?;
    ask.answer(source.basis(), async |database, _| {
        read(database, &source, &filter, params.order, params.by, limit).await
    })
    .await
}

pub(crate) async fn read(
    database: &Database,
    source: &Source,
    filter: &Filter,
    order: Order,
    by: By,
    limit: u32,
) -> Result<Features, Error> {
    #[derive(Row, Deserialize)]
    struct Counted {
        category: String,
        name: String,
        events: u64,
        sessions: u64,
        first_seen: Time,
        last_seen: Time,
        all_events: u64,
        all_sessions: u64,
    }
    let query = match source {
        Source::Days(days) => days
            .query(database, filter, &[FEATURE, filter.kind()], "usage/features_days.sql")?
            .param("kind", FEATURE)
            .param("total", filter.kind()),
        Source::Events => database.filtered("usage/features_rows.sql", filter, [])?,
        Source::Sequences => database.filtered("usage/features.sql", filter, [])?,
    };
    let query = query.param("order", word(order)).param("by", word(by)).param("limit", limit);
    let rows: Vec<Counted> = query.fetch_all().await?;
    let total = rows.first().map(|row| Total { events: row.all_events, sessions: row.all_sessions });
    let features = rows.into_iter().map(|row| {
        let Counted { category, name, events, sessions, first_seen, last_seen, .. } = row;
        FeatureUse { category, name, events, sessions, first_seen, last_seen }
    });
    Ok(Features { features: features.collect(), total: total.unwrap_or_default() })
}
