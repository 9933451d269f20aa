//! The applications that send events.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Days;
use crate::answer::Ask;
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::{Params, filtered};
use crate::values::Time;

filtered! {
    pub struct AppsParams {}
}

/// How much an application sent.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct AppUse {
    pub app: String,
    pub events: u64,
    /// Distinct sessions; a session of two applications counts for both.
    pub sessions: u64,
    pub first_seen: Time,
    pub last_seen: Time,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Apps {
    pub apps: Vec<AppUse>,
}

/// The applications that sent events, most events first.
#[utoipa::path(get, path = "/v1/apps", tag = "Usage", params(AppsParams), responses((status = 200, body = Apps)))]
pub async fn apps(ask: Ask, Params(params): Params<AppsParams>) -> Result<Response, Error> {
    let filter = params.filter()?;
    let days = if filter.any_category() { None } else { Days::of(&ask.database, &filter).await? };
    ask.answer(days.as_ref().map_or(Basis::Log, Days::basis), async |database, _| {
        let query = match &days {
            Some(days) => days.query(database, &filter, &[filter.kind()], "usage/apps_days.sql")?,
            None => database.filtered("usage/apps.sql", &filter, [])?,
        };
        Ok(Apps { apps: query.fetch_all().await? })
    })
    .await
}
