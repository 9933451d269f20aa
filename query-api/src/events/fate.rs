//! The fate of one event.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::as_of::Basis;
use crate::database::{Database, small};
use crate::error::Error;
use crate::params::{NoParams, Params, PathId};
use crate::values::{Id, Json, Reason, Time, Verdict};

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fate {
    pub event_id: Id,
    pub verdict: Verdict,
    /// Null if the session id could not be read, or if the session is erased.
    pub session_id: Option<Id>,
    pub timestamp: Option<Time>,
    pub received_at: Time,
    pub log_time: Time,
    pub partition: u16,
    pub offset: u64,
    pub schema_version: u16,
    #[serde(flatten)]
    pub content: Content,
    /// Every other record with the same event id, such as the retries of its sender, or an event of another application
    /// (100 at most in all).
    pub others: Vec<Other>,
}

/// What is kept of a record beside the ledger; empty unless it was accepted or rejected.
#[derive(Debug, Default, Row, Serialize, Deserialize, ToSchema)]
pub struct Content {
    pub app: String,
    pub category: String,
    pub name: String,
    /// The data of an accepted event.
    pub data: Option<Json>,
    /// Why a rejected record is no event.
    pub reasons: Vec<Reason>,
    /// The bytes of a rejected record, with replacement characters for bytes that are not UTF-8.
    pub raw: Option<String>,
    /// The exact bytes in base64, if they are not all UTF-8; else null.
    pub raw_base64: Option<String>,
    /// W3C trace context of the request that carried the event, if it had one. Null for a duplicate.
    pub traceparent: Option<String>,
}

/// Another record with the same event id.
#[derive(Debug, Serialize, ToSchema)]
pub struct Other {
    pub partition: u16,
    pub offset: u64,
    pub verdict: Verdict,
    /// The application, which may be another one: applications share no ids. Empty for a rejected record.
    pub app: String,
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
    ask.answer(Basis::Log, async |database, as_of| {
        let query = small(database.query("events/fate.sql", [])?);
        let mut records: Vec<Record> = query.param("event_id", event_id).fetch_all().await?;
        let Some(nth) = (0..records.len()).min_by_key(|nth| records[*nth].rank()) else {
            let positions: u64 = as_of.positions.values().sum();
            return Err(Error::NotFound(format!(
                "the log up to now ({positions} records) has no event {}: was it answered with a receipt?",
                event_id.0
            )));
        };
        let record = records.remove(nth);
        // In the ledger, these are empty if they could not be read, or if the session is erased.
        let is_known = matches!(record.verdict, Verdict::Accepted | Verdict::Duplicate);
        Ok(Fate {
            event_id,
            verdict: record.verdict,
            session_id: Some(record.session_id).filter(|id| is_known || !id.0.is_nil()),
            timestamp: Some(record.timestamp).filter(|time| is_known || time.micros() != 0),
            received_at: record.received_at,
            log_time: Time::from_micros(record.log_time * 1000),
            partition: record.partition,
            offset: record.offset,
            schema_version: record.schema_version,
            content: record.content(database).await?,
            others: records.into_iter().map(Other::from).collect(),
        })
    })
    .await
}

/// A row of fate.sql: what the ledger knows of a record.
#[derive(Row, Deserialize)]
struct Record {
    partition: u16,
    offset: u64,
    verdict: Verdict,
    session_id: Id,
    app: String,
    timestamp: Time,
    received_at: Time,
    /// Milliseconds.
    log_time: i64,
    schema_version: u16,
}

impl Record {
    /// The record with the lowest rank says what became of the event.
    fn rank(&self) -> u8 {
        match self.verdict {
            Verdict::Accepted => 0,
            Verdict::Rejected => 1,
            Verdict::Erased => 2,
            Verdict::Duplicate | Verdict::Erasure | Verdict::Absent | Verdict::Lost => 3,
        }
    }

    async fn content(&self, database: &Database) -> Result<Content, Error> {
        let file = match self.verdict {
            Verdict::Accepted => "events/fate_accepted.sql",
            _ => "events/fate_rejected.sql",
        };
        let content = small(database.query(file, [])?)
            .param("session_id", self.session_id)
            .param("timestamp", self.timestamp.to_param())
            .param("partition", self.partition)
            .param("offset", self.offset)
            .fetch_optional();
        Ok(content.await?.unwrap_or_default())
    }
}

impl From<Record> for Other {
    fn from(record: Record) -> Self {
        let Record { partition, offset, verdict, app, received_at, .. } = record;
        Self { partition, offset, verdict, app, received_at }
    }
}
