//! Single events: a session's timeline, the list, the fate of one.

mod export;

use axum::http::HeaderMap;
use axum::response::Response;
use clickhouse::Row;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::answer::{Ask, Basis};
use crate::cursor::Cursor;
use crate::database::{Database, conditional};
use crate::error::Error;
use crate::params::{Filter, Params, PathId, filtered, limit};
use crate::values::{Id, Json, Time};

/// An accepted event.
#[derive(Debug, Clone, Row, Serialize, Deserialize, ToSchema)]
pub struct Event {
    pub event_id: Id,
    pub session_id: Id,
    pub timestamp: Time,
    pub app: String,
    pub category: String,
    pub name: String,
    pub data: Json,
    pub partition: u16,
    pub offset: u64,
    /// When the gateway (or else the broker) got it.
    pub received_at: Time,
    /// The sender's clock when it sent.
    pub sent_at: Option<Time>,
    /// The version of the event type that judged it.
    pub schema_version: u16,
    /// W3C trace context of the request that brought it, if it had one.
    pub traceparent: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Events {
    pub events: Vec<Event>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

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
        let query = database.small(include_str!("events/session.sql")).param("session_id", session_id);
        let events: Vec<Event> =
            after(query, after_row, Cursor::FIRST).param("limit", limit + 1).fetch_all().await?;
        if events.is_empty() && after_row.is_none() {
            return Err(Error::NotFound(format!(
                "the log up to now has no accepted event of session {}",
                session_id.0
            )));
        }
        // After the page: it knows at least the events of the page.
        let query = database.small(include_str!("events/whole_session.sql"));
        let session = query.param("session_id", session_id).fetch_one().await?;
        Ok(Session { session, page: page(events, limit, &list) })
    })
    .await
}

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

/// The accepted events, a page at a time. With `Accept: application/x-ndjson`, `text/csv` or
/// `application/vnd.apache.parquet` all of them are streamed instead, session by session.
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
    // A session's events are few; those of all sessions are looked for on the days where enough are known to be. The days
    // may be behind the log, so what they leave short is looked for everywhere.
    let near = async |database: &Database| match session_id.as_str() {
        "" => near(database, &filter, params.order, after_row, limit + 1).await,
        _ => Ok(None),
    };
    ask.answer_with(Basis::Log, near, async |database, _, near| {
        let newest = params.order == ListOrder::Newest;
        let sql = conditional(include_str!("events/list.sql"), |condition| {
            (condition == "newest").then_some(newest)
        });
        let start = if newest { Cursor::LAST } else { Cursor::FIRST };
        let read = async |filter: &Filter| -> Result<Vec<Event>, Error> {
            let query = after(filter.bind(database.query(&sql)), after_row, start)
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
        // Days that lie in the range as a whole and after the cursor's.
        ListOrder::Newest => (-1, after_row.map_or(to, |row| row.time.min(to)).day() - 1),
        ListOrder::Oldest => {
            // What is left of the cursor's day is no whole day, even if the cursor stands at its midnight.
            let first = after_row.map_or(from, |row| Time::from_micros(row.time.micros() + 1).max(from));
            (1, first.day() + i64::from(!first.is_midnight()))
        }
    };
    let choosing = filter.kind() != 0;
    let sql = conditional(include_str!("events/days.sql"), |name| (name == "choosing").then_some(choosing));
    let query = filter.bind(database.small(&sql));
    let day: Option<i64> =
        query.param("step", step).param("nearest", nearest).param("limit", limit).fetch_optional().await?;
    Ok(day.map(|day| match order {
        ListOrder::Newest => filter.within(Time::from_day(day).max(from), to),
        ListOrder::Oldest => filter.within(from, Time::from_day(day + 1).min(to)),
    }))
}

/// Binds the row that the page starts after; without one it starts at `start`, inclusive.
fn after(query: Query, row: Option<Cursor>, start: Cursor) -> Query {
    let Cursor { time, partition, offset } = row.unwrap_or(start);
    query
        .param("start", row.is_none())
        .param("after_time", time.to_param())
        .param("after_partition", partition)
        .param("after_offset", offset)
}

/// `events` has one more than the page, if there is a next one.
fn page(mut events: Vec<Event>, limit: u32, list: &impl std::hash::Hash) -> Events {
    let more = events.len() > limit as usize;
    events.truncate(limit as usize);
    let last = events.last().filter(|_| more);
    let next_cursor = last.map(|event| {
        Cursor { time: event.timestamp, partition: event.partition, offset: event.offset }.encode(list)
    });
    Events { events, next_cursor }
}

/// Why a record could not become an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "(String, String, String, String)")]
pub struct Reason {
    pub code: String,
    /// JSON pointer into the event.
    pub pointer: String,
    /// The keyword of the schema that was broken, if one was.
    pub keyword: String,
    pub message: String,
}

impl From<(String, String, String, String)> for Reason {
    fn from((code, pointer, keyword, message): (String, String, String, String)) -> Self {
        Self { code, pointer, keyword, message }
    }
}

/// A verdict on one record of the log.
#[derive(Debug, Clone, Row, Serialize, Deserialize, ToSchema)]
pub struct Place {
    pub partition: u16,
    pub offset: u64,
    /// accepted, rejected, duplicate, erased (its session is) or erasure (a request to erase one).
    pub verdict: String,
    pub session_id: Id,
    pub timestamp: Time,
    pub received_at: Time,
    /// The broker's time, in milliseconds since 1970.
    pub log_time: i64,
    pub schema_version: u16,
    /// Of a duplicate or an erased record: the first offset in the same partition with this event id.
    pub first_offset: u64,
}

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fate {
    pub event_id: Id,
    pub verdict: String,
    /// Null where it could not be read, or is erased.
    pub session_id: Option<Id>,
    pub timestamp: Option<Time>,
    pub received_at: Time,
    pub log_time: Time,
    pub partition: u16,
    pub offset: u64,
    pub schema_version: u16,
    pub app: String,
    pub category: String,
    pub name: String,
    /// Of an accepted event.
    pub data: Option<Json>,
    /// Of a rejected one: why, and the bytes as they came (not UTF-8: with replacement characters).
    pub reasons: Vec<Reason>,
    pub raw: Option<String>,
    /// The same bytes exactly, in base64, where they are not UTF-8 as a whole; else null.
    pub raw_base64: Option<String>,
    /// W3C trace context of the request that brought it, if it had one; not of a duplicate.
    pub traceparent: Option<String>,
    /// Every other record with the same event id, such as the retries of its sender (100 at most in all).
    pub others: Vec<Other>,
}

/// Another record with the same event id.
#[derive(Debug, Serialize, ToSchema)]
pub struct Other {
    pub partition: u16,
    pub offset: u64,
    pub verdict: String,
    pub received_at: Time,
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct NoParams {}

/// Where is my event? Its verdict, reasons and place in the log.
#[utoipa::path(get, path = "/v1/events/{event_id}", tag = "Events",
    params(("event_id" = Id, Path)), responses((status = 200, body = Fate), (status = 404)))]
pub async fn fate(
    ask: Ask,
    PathId(event_id): PathId,
    Params(_): Params<NoParams>,
) -> Result<Response, Error> {
    #[derive(Row, Deserialize)]
    struct Accepted {
        app: String,
        category: String,
        name: String,
        data: Json,
        traceparent: Option<String>,
    }
    #[derive(Row, Deserialize)]
    struct Rejected {
        app: String,
        category: String,
        name: String,
        reasons: Vec<Reason>,
        raw: String,
        raw_base64: Option<String>,
        traceparent: Option<String>,
    }
    ask.answer(Basis::Log, async |database, as_of| {
        let places: Vec<Place> =
            database.small(include_str!("events/fate.sql")).param("event_id", event_id).fetch_all().await?;
        let rank = |place: &&Place| match place.verdict.as_str() {
            "accepted" => 0,
            "rejected" => 1,
            "erased" => 2,
            _ => 3,
        };
        let Some(place) = places.iter().min_by_key(rank) else {
            let positions: u64 = as_of.positions.values().sum();
            return Err(Error::NotFound(format!(
                "the log up to now ({positions} records) has no event {}: was it answered with a receipt?",
                event_id.0
            )));
        };
        // Of others, what could not be read, or is erased, is empty in the ledger.
        let is_known = matches!(place.verdict.as_str(), "accepted" | "duplicate");
        let mut fate = Fate {
            event_id,
            verdict: place.verdict.clone(),
            session_id: Some(place.session_id).filter(|id| is_known || !id.0.is_nil()),
            timestamp: Some(place.timestamp).filter(|time| is_known || time.micros() != 0),
            received_at: place.received_at,
            log_time: Time::from_micros(place.log_time * 1000),
            partition: place.partition,
            offset: place.offset,
            schema_version: place.schema_version,
            app: String::new(),
            category: String::new(),
            name: String::new(),
            data: None,
            reasons: Vec::new(),
            raw: None,
            raw_base64: None,
            traceparent: None,
            others: places
                .iter()
                .filter(|other| (other.partition, other.offset) != (place.partition, place.offset))
                .map(|other| Other {
                    partition: other.partition,
                    offset: other.offset,
                    verdict: other.verdict.clone(),
                    received_at: other.received_at,
                })
                .collect(),
        };
        if place.verdict == "accepted" {
            let found: Option<Accepted> = database
                .small(include_str!("events/fate_accepted.sql"))
                .param("session_id", place.session_id)
                .param("timestamp", place.timestamp.to_param())
                .param("partition", place.partition)
                .param("offset", place.offset)
                .fetch_optional()
                .await?;
            if let Some(Accepted { app, category, name, data, traceparent }) = found {
                (fate.app, fate.category, fate.name, fate.data) = (app, category, name, Some(data));
                fate.traceparent = traceparent;
            }
        } else {
            let found: Option<Rejected> = database
                .small(include_str!("events/fate_rejected.sql"))
                .param("partition", place.partition)
                .param("offset", place.offset)
                .fetch_optional()
                .await?;
            if let Some(Rejected { app, category, name, reasons, raw, raw_base64, traceparent }) = found {
                (fate.app, fate.category, fate.name, fate.reasons) = (app, category, name, reasons);
                (fate.raw, fate.raw_base64, fate.traceparent) = (Some(raw), raw_base64, traceparent);
            }
        }
        Ok(fate)
    })
    .await
}
