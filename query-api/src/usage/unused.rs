//! The declared features that nobody uses.

use std::collections::HashMap;

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Days, FEATURE};
use crate::answer::Ask;
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::{Params, filtered};
use crate::values::{Feature, Time};

filtered! {
    pub struct UnusedParams {}
}

/// An event type that was declared, but not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnusedFeature {
    pub category: String,
    pub name: String,
    /// The last use outside of the range; null if the event type was never used.
    pub last_seen: Option<Time>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Unused {
    pub features: Vec<UnusedFeature>,
    /// All declared event types that pass the filters `category` and `name`; `features` are some of them.
    pub declared: Vec<Feature>,
}

/// Declared event types that nobody used in the range (by the app, if one is named).
#[utoipa::path(get, path = "/v1/features/unused", tag = "Usage", params(UnusedParams), responses((status = 200, body = Unused)))]
pub async fn unused(ask: Ask, Params(params): Params<UnusedParams>) -> Result<Response, Error> {
    #[derive(Row, Deserialize)]
    struct LastSeen {
        category: String,
        name: String,
        used: bool,
        last_seen: Time,
    }
    let filter = params.filter()?;
    let registry = ask.app.registry.load_full();
    let days = Days::of(&ask.database, &filter).await?;
    ask.answer(days.as_ref().map_or(Basis::Log, Days::basis), async |database, _| {
        let query = match &days {
            Some(days) => days.query(database, &filter, &[FEATURE], "usage/last_seen_days.sql")?,
            None => database.filtered("usage/last_seen.sql", &filter, [])?,
        };
        let seen: Vec<LastSeen> = query.fetch_all().await?;
        let seen: HashMap<Feature, (bool, Time)> = seen
            .into_iter()
            .map(|row| (Feature { category: row.category, name: row.name }, (row.used, row.last_seen)))
            .collect();
        let asked = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|asked| asked == is);
        let declared: Vec<Feature> = registry
            .newest()
            .filter(|declared| {
                asked(&params.category, &declared.category) && asked(&params.name, &declared.name)
            })
            .map(|declared| Feature { category: declared.category.clone(), name: declared.name.clone() })
            .collect();
        let features = declared
            .iter()
            .filter_map(|feature| {
                let last_seen = match seen.get(feature) {
                    Some((true, _)) => return None,
                    Some((false, last_seen)) => Some(*last_seen),
                    None => None,
                };
                let Feature { category, name } = feature.clone();
                Some(UnusedFeature { category, name, last_seen })
            })
            .collect();
        Ok(Unused { features, declared })
    })
    .await
}
