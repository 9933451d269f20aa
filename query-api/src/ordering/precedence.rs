//! Precedence: which feature a session uses first.

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
    pub struct PrecedenceParams {
        /// How many pairs, 1 to 100000 (1000).
        pub limit: Option<u32>,
    }
}

/// How many of the sessions that use both features use `first` before `then`, each for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct Pair {
    pub first: Feature,
    pub then: Feature,
    pub sessions: u64,
    /// Sessions that use both, in either order.
    pub both: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Precedence {
    pub pairs: Vec<Pair>,
}

/// Which feature comes first. A pair that no session uses in this order is left out.
#[utoipa::path(get, path = "/v1/order/precedence", tag = "Order", params(PrecedenceParams),
    responses((status = 200, body = Precedence)))]
pub async fn precedence(ask: Ask, Params(params): Params<PrecedenceParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 100_000)?);
    ask.answer(Basis::Sequences, async |database, _| {
        let query = database.filtered("ordering/precedence.sql", &filter, [])?;
        Ok(Precedence { pairs: query.param("limit", limit).fetch_all().await? })
    })
    .await
}
