//! In what order features are used.
//!
//! All questions read `sequences`. Filters come first: neighbours, paths and steps are those of what is
//! left of a session after filtering by time, app, category and name. Equal times are ordered by arrival.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Ask, Basis};
use crate::error::Error;
use crate::params::{Params, filtered, limit};
use crate::values::Feature;

filtered! {
    pub struct TransitionsParams {
        /// How many transitions, 1 to 100000 (1000).
        pub limit: Option<u32>,
    }
}

/// One feature directly followed by another one (or itself) within a session.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    pub from: Feature,
    pub to: Feature,
    pub count: u64,
    /// Distinct sessions.
    pub sessions: u64,
    /// The median time between the two; of an even number, the mean of the middle two.
    pub median_gap_ms: f64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Transitions {
    pub transitions: Vec<Transition>,
}

/// How often one feature directly follows another one, the most frequent first.
#[utoipa::path(get, path = "/v1/order/transitions", tag = "Order", params(TransitionsParams),
    responses((status = 200, body = Transitions)))]
pub async fn transitions(ask: Ask, Params(params): Params<TransitionsParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 100_000)?);
    ask.answer(Basis::Sequences, async |database, _| {
        let query = filter.bind(database.query(include_str!("ordering/transitions.sql")));
        Ok(Transitions { transitions: query.param("limit", limit).fetch_all().await? })
    })
    .await
}
