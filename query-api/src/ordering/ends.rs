//! Ends: the features that sessions begin and end with.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::{Params, filtered, limit};

filtered! {
    pub struct EndsParams {
        /// The place in the whole session, 1 to 1000: 1 is its first event (for exits, its last event).
        pub step: Option<u32>,
        /// How many features, 1 to 10000 (1000).
        pub limit: Option<u32>,
    }
}

/// A feature at the start or the end of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct End {
    pub category: String,
    pub name: String,
    pub sessions: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Entries {
    pub entries: Vec<End>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Exits {
    pub exits: Vec<End>,
}

/// The features that sessions begin with. A session counts if its first event passes the filters. A session that began
/// before `from` does not count.
#[utoipa::path(get, path = "/v1/order/entries", tag = "Order", params(EndsParams), responses((status = 200, body = Entries)))]
pub async fn entries(ask: Ask, Params(params): Params<EndsParams>) -> Result<Response, Error> {
    ends(ask, params, 1, |entries| Entries { entries }).await
}

/// The features that sessions end with. A session counts if its last event passes the filters. A session that continued
/// after `to` does not count.
#[utoipa::path(get, path = "/v1/order/exits", tag = "Order", params(EndsParams), responses((status = 200, body = Exits)))]
pub async fn exits(ask: Ask, Params(params): Params<EndsParams>) -> Result<Response, Error> {
    ends(ask, params, -1, |exits| Exits { exits }).await
}

async fn ends<T: Serialize>(
    ask: Ask,
    params: EndsParams,
    direction: i32,
    answer: fn(Vec<End>) -> T,
) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 10_000)?);
    let place = match params.step.unwrap_or(1) {
        step @ 1..=1000 => direction * step as i32,
        step => return Err(Error::parameter("step", format!("`step` is {step}, but must be 1 to 1000"))),
    };
    ask.answer(Basis::Sequences, async |database, _| {
        let query = database.filtered("ordering/ends.sql", &filter, [])?;
        Ok(answer(query.param("place", place).param("limit", limit).fetch_all().await?))
    })
    .await
}
