//! A session's timeline.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Event, Events, after, page};
use crate::answer::Ask;
use crate::as_of::Basis;
use crate::cursor::Cursor;
use crate::database::small;
use crate::error::Error;
use crate::params::{Params, PathId, limit};
use crate::values::{Id, Time};

/// The whole session, of which `events` are a page.
#[derive(Debug, Clone, Row, Serialize, Deserialize, ToSchema)]
pub struct WholeSession {
    pub events: u64,
    pub first_seen: Time,
    pub last_seen: Time,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    pub session: WholeSession,
    #[serde(flatten)]
    pub page: Events,
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SessionParams {
    /// How many events, 1 to 10000 (1000).
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A session's timeline across all applications: by time, then in the order of arrival.
#[utoipa::path(get, path = "/v1/sessions/{session_id}", tag = "Events",
    params(("session_id" = Id, Path), SessionParams), responses((status = 200, body = Session)))]
pub async fn session(
    ask: Ask,
    PathId(session_id): PathId,
    Params(params): Params<SessionParams>,
) -> Result<Response, Error> {
    let limit = limit(params.limit, 1000, 10_000)?;
    let list = session_id;
    let after_row = params.cursor.as_deref().map(|text| Cursor::decode(text, &list)).transpose()?;
    ask.answer(Basis::Log, async |database, _| {
        let query = small(database.query("events/session.sql", [])?).param("session_id", session_id);
        let events: Vec<Event> =
            after(query, after_row, Cursor::FIRST).param("limit", limit + 1).fetch_all().await?;
        if events.is_empty() && after_row.is_none() {
            return Err(Error::NotFound(format!(
                "the log up to now has no accepted event of session {}",
                session_id.0
            )));
        }
        // This is read after the page, so that it includes the events of the page.
        let query = small(database.query("events/whole_session.sql", [])?);
        let session = query.param("session_id", session_id).fetch_one().await?;
        Ok(Session { session, page: page(events, limit, &list) })
    })
    .await
}
