//! Single events: a session's timeline, the list, the fate of one.

mod export;
pub mod fate;
pub mod list;
pub mod session;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cursor::Cursor;
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
    /// When the gateway received it; without a gateway, when the broker did.
    pub received_at: Time,
    /// The sender's clock when it sent.
    pub sent_at: Option<Time>,
    /// The version of the event type that the event was judged by.
    pub schema_version: u16,
    /// W3C trace context of the request that carried the event, if it had one.
    pub traceparent: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Events {
    pub events: Vec<Event>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// Binds the row that the page starts after. Without a row, the page starts at `start`, inclusive.
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
