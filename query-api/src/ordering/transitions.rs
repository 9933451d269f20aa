//! Transitions: which feature directly follows which.

use std::collections::HashMap;

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::as_of::Basis;
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
    /// The median time between the two. The median of an even number of times is the mean of the middle two.
    pub median_gap_ms: f64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Transitions {
    pub transitions: Vec<Transition>,
}

/// How often one feature directly follows another one, the most frequent first; ties by both names.
#[utoipa::path(get, path = "/v1/order/transitions", tag = "Order", params(TransitionsParams),
    responses((status = 200, body = Transitions)))]
pub async fn transitions(ask: Ask, Params(params): Params<TransitionsParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 100_000)?);
    ask.answer(Basis::Sequences, async |database, _| {
        #[derive(Row, Deserialize)]
        struct Found {
            from: Feature,
            to: Feature,
            count: u64,
            sessions: u64,
            median_gap_ms: f64,
            /// The number of the transition if its median is too long for the statement; else 0.
            far_pair: u32,
        }
        let query = database.filtered("ordering/transitions.sql", &filter, [])?;
        let found: Vec<Found> = query.param("limit", limit).fetch_all().await?;
        let far: Vec<u32> = found.iter().map(|found| found.far_pair).filter(|pair| *pair != 0).collect();
        let mut medians = HashMap::new();
        if !far.is_empty() {
            let query = database.filtered("ordering/transitions_far.sql", &filter, [])?;
            let rows: Vec<(u32, f64)> = query.param("pairs", far).fetch_all().await?;
            medians.extend(rows);
        }
        let transitions = found.into_iter().map(|found| Transition {
            median_gap_ms: medians.get(&found.far_pair).copied().unwrap_or(found.median_gap_ms),
            from: found.from,
            to: found.to,
            count: found.count,
            sessions: found.sessions,
        });
        Ok(Transitions { transitions: transitions.collect() })
    })
    .await
}
