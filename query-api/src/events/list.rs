//! The list of events, page by page.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, Events, after, export, page};
use crate::answer::Ask;
use crate::as_of::Basis;
use crate::cursor::Cursor;
use crate::database::{Database, small};
use crate::error::Error;
use crate::params::{Filter, Params, filtered, limit};
use crate::sql::Form::Is;
use crate::values::{Id, Time};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    #[default]
    Newest,
    Oldest,
}

filtered! {
    #[derive(Hash)]
    pub struct EventsParams {
        /// Only events of this session.
        pub session_id: Option<Id>,
        /// The newest or the oldest first, by the events' own time.
        #[param(inline)]
        pub order: ListOrder,
        /// Events a page, 1 to 1000 (100). Not for streams.
        pub limit: Option<u32>,
        /// `next_cursor` of the page before. Not for streams.
        pub cursor: Option<String>,
    }
}

/// The accepted events, page by page. With `Accept: application/x-ndjson`, `text/csv` or
/// `application/vnd.apache.parquet` the answer is a stream of all of them, session by session.
#[utoipa::path(get, path = "/v1/events", tag = "Events", params(EventsParams), responses((status = 200, body = Events,)))]
pub async fn list(
    ask: Ask,
    Params(params): Params<EventsParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let filter = params.filter()?;
    let session_id = params.session_id.map(|id| id.0.to_string()).unwrap_or_default();
    if let Some(format) = export::format(&headers)? {
        for (field, given) in [("limit", params.limit.is_some()), ("cursor", params.cursor.is_some())] {
            if given {
                return Err(Error::parameter(
                    field,
                    format!("`{field}` is for pages: a stream has all rows, leave it out"),
                ));
            }
        }
        return export::stream(ask, filter, session_id, format).await;
    }
    let limit = limit(params.limit, 100, 1000)?;
    let list = EventsParams { cursor: None, limit: None, ..params.clone() };
    let after_row = params.cursor.as_deref().map(|text| Cursor::decode(text, &list)).transpose()?;
    // A session has few events. Those of all sessions are looked for on the days that are known to have enough. The
    // days may be behind the log: if a page is not full after them, it is looked for everywhere.
    let near = async |database: &Database| match session_id.as_str() {
        "" => near(database, &filter, params.order, after_row, limit + 1).await,
        _ => Ok(None),
    };
    ask.answer_with(Basis::Log, near, async |database, _, near| {
        let newest = params.order == ListOrder::Newest;
        let start = if newest { Cursor::LAST } else { Cursor::FIRST };
        let read = async |filter: &Filter| -> Result<Vec<Event>, Error> {
            let query = after(
                database.filtered("events/list.sql", filter, [("newest", Is(newest))])?,
                after_row,
                start,
            )
            .param("session_id", &session_id)
            .param("limit", limit + 1);
            Ok(query.fetch_all().await?)
        };
        if let Some(near) = near {
            let events = read(&near).await?;
            if events.len() > limit as usize {
                return Ok(page(events, limit, &list));
            }
        }
        Ok(page(read(&filter).await?, limit, &list))
    })
    .await
}

/// The part of the range that is certain to have `limit` events from the cursor on, if the days of use know one.
async fn near(
    database: &Database,
    filter: &Filter,
    order: ListOrder,
    after_row: Option<Cursor>,
    limit: u32,
) -> Result<Option<Filter>, Error> {
    let (from, to) = filter.range();
    let (step, nearest) = match order {
        // Whole days of the range, after the day of the cursor.
        ListOrder::Newest => (-1, after_row.map_or(to, |row| row.time.min(to)).day() - 1),
        ListOrder::Oldest => {
            // The rest of the cursor's day is no whole day, even if the cursor stands at its midnight.
            let first = after_row.map_or(from, |row| Time::from_micros(row.time.micros() + 1).max(from));
            (1, first.day() + i64::from(!first.is_midnight()))
        }
    };
    let query = small(database.filtered("events/days.sql", filter, [])?);
    let day: Option<i64> =
        query.param("step", step).param("nearest", nearest).param("limit", limit).fetch_optional().await?;
    Ok(day.map(|day| match order {
        ListOrder::Newest => filter.within(Time::from_day(day).max(from), to),
        ListOrder::Oldest => filter.within(from, Time::from_day(day + 1).min(to)),
    }))
}
