//! The event types that may be sent, and how much each is used.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::error::Error;
use crate::params::{Filter, NoParams, Params};
use crate::usage::features::{self, By, FeatureUse, Order};
use crate::usage::{Days, Source};
use crate::values::{Feature, Json, Time};

/// A declared event type.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventType {
    pub category: String,
    pub name: String,
    pub description: Option<String>,
    /// The newest version: the one that judges.
    pub version: u16,
    /// All versions with their JSON Schemas of `data`, oldest first.
    pub versions: Vec<Version>,
    pub examples: Vec<TypeExample>,
    /// JSON pointers to the personal values of `data`; `*` is every element, or every property that is not named.
    pub personal: Vec<String>,
    pub events: u64,
    pub sessions: u64,
    pub first_seen: Option<Time>,
    pub last_seen: Option<Time>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Version {
    pub version: u16,
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// A whole event as an example.
#[derive(Debug, Serialize, ToSchema)]
pub struct TypeExample {
    /// True if the event is accepted; false if it shows what is rejected.
    pub valid: bool,
    pub event: Json,
    /// The codes of the reasons why an invalid example is rejected.
    pub reasons: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EventTypes {
    pub event_types: Vec<EventType>,
}

/// The registry: every declared event type with its schemas, examples and use.
#[utoipa::path(get, path = "/v1/event-types", tag = "Operations", responses((status = 200, body = EventTypes)))]
pub async fn event_types(ask: Ask, Params(_): Params<NoParams>) -> Result<Response, Error> {
    let registry = ask.app.registry.load_full();
    let everything = Filter::new(None, None, None, None, None)?;
    let days = Days::of(&ask.database, &everything).await?;
    let source = Source::of(&ask.database, days, &everything).await?;
    ask.answer(source.basis(), async |database, _| {
        let (order, by, limit) = (Order::Most, By::Events, u32::from(u16::MAX));
        let used = features::read(database, &source, &everything, order, by, limit).await?.features;
        let mut used: BTreeMap<Feature, FeatureUse> = used
            .into_iter()
            .map(|used| (Feature { category: used.category.clone(), name: used.name.clone() }, used))
            .collect();
        let event_types = registry.newest().map(|newest| {
            let (category, name) = (newest.category.clone(), newest.name.clone());
            let used = used.remove(&Feature { category: category.clone(), name: name.clone() });
            EventType {
                description: newest.description.clone(),
                version: newest.version,
                versions: registry
                    .iter()
                    .filter(|version| version.category == category && version.name == name)
                    .map(|version| Version { version: version.version, schema: version.schema.clone() })
                    .collect(),
                examples: newest
                    .examples
                    .iter()
                    .map(|example| TypeExample {
                        valid: example.reasons.is_empty(),
                        event: Json::from(example.event.clone()),
                        reasons: example
                            .reasons
                            .iter()
                            .map(|reason| crate::values::word(reason.code))
                            .collect(),
                    })
                    .collect(),
                personal: newest.personal(),
                events: used.as_ref().map_or(0, |used| used.events),
                sessions: used.as_ref().map_or(0, |used| used.sessions),
                first_seen: used.as_ref().map(|used| used.first_seen),
                last_seen: used.as_ref().map(|used| used.last_seen),
                category,
                name,
            }
        });
        Ok(EventTypes { event_types: event_types.collect() })
    })
    .await
}
