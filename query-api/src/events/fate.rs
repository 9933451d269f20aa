//! The fate of one event.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::{NoParams, Params, PathId};
use crate::values::{Id, Json, Reason, Time};

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
            database.small(include_str!("fate.sql")).param("event_id", event_id).fetch_all().await?;
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
                .small(include_str!("fate_accepted.sql"))
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
                .small(include_str!("fate_rejected.sql"))
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
