//! The records that could not become events: one by one, by reason, over time.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::as_of::Basis;
use crate::calendar::{Interval, fill};
use crate::cursor::Cursor;
use crate::error::Error;
use crate::params::{Params, filtered, limit};
use crate::values::{Id, Reason, Time};

filtered! {
    #[derive(Hash)]
    pub struct RejectionsParams {
        /// Only records rejected for this reason, e.g. `data_invalid`.
        pub reason: Option<String>,
        /// Records a page, 1 to 1000 (100).
        pub limit: Option<u32>,
        /// `next_cursor` of the page before.
        pub cursor: Option<String>,
    }
}

/// A record of the log that could not become an event. A field that could not be read is empty.
#[derive(Debug, Clone, Row, Serialize, Deserialize, ToSchema)]
pub struct Rejection {
    pub partition: u16,
    pub offset: u64,
    pub event_id: Id,
    pub session_id: Id,
    pub app: String,
    pub category: String,
    pub name: String,
    pub received_at: Time,
    /// The broker's time.
    pub log_time: Time,
    pub schema_version: u16,
    /// The reasons, at most 16.
    pub reasons: Vec<Reason>,
    /// How many reasons there were.
    pub reasons_total: u16,
    /// The first 64 KiB of the record, with replacement characters for bytes that are not UTF-8.
    pub raw: String,
    /// The exact bytes in base64, if they are not all UTF-8; else null.
    pub raw_base64: Option<String>,
    /// How many bytes of the record are kept: all of them, unless the reason is `record_too_large`.
    pub raw_bytes: u64,
    /// W3C trace context of the request that carried the record, if it had one.
    pub traceparent: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Rejections {
    pub rejections: Vec<Rejection>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// Rejected records, the last received first. `from` and `to` limit the time of receipt, because the event's own time
/// may be wrong.
#[utoipa::path(get, path = "/v1/rejections", tag = "Operations", params(RejectionsParams), responses((status = 200, body = Rejections)))]
pub async fn rejections(ask: Ask, Params(params): Params<RejectionsParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 100, 1000)?);
    let reason = reason(params.reason.as_deref())?;
    let list = RejectionsParams { cursor: None, limit: None, ..params.clone() };
    let after = params.cursor.as_deref().map_or(Ok(Cursor::LAST), |text| Cursor::decode(text, &list))?;
    ask.answer(Basis::Log, async |database, _| {
        let mut rejections: Vec<Rejection> = database
            .filtered("operations/rejections.sql", &filter, [])?
            .param("reason", &reason)
            .param("after_time", after.time.to_param())
            .param("after_partition", after.partition)
            .param("after_offset", after.offset)
            .param("limit", limit + 1)
            .fetch_all()
            .await?;
        let more = rejections.len() > limit as usize;
        rejections.truncate(limit as usize);
        let next_cursor = rejections.last().filter(|_| more).map(|last| {
            Cursor { time: last.received_at, partition: last.partition, offset: last.offset }.encode(&list)
        });
        Ok(Rejections { rejections, next_cursor })
    })
    .await
}

/// The empty text for no filter.
fn reason(asked: Option<&str>) -> Result<String, Error> {
    let Some(asked) = asked else { return Ok(String::new()) };
    // The judge gives no other reasons: an unknown one would silently match nothing.
    match serde_json::from_value::<schemas::ReasonCode>(asked.into()) {
        Ok(_) => Ok(asked.to_owned()),
        Err(error) => {
            Err(Error::parameter("reason", error.to_string().replace("unknown variant", "unknown reason")))
        }
    }
}

filtered! {
    pub struct SummaryParams {
        /// Only this reason, e.g. `data_invalid`.
        pub reason: Option<String>,
        /// How many lines, 1 to 10000 (1000).
        pub limit: Option<u32>,
    }
}

/// How many records were rejected for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct RejectionCount {
    pub reason: String,
    pub app: String,
    pub category: String,
    pub name: String,
    /// The number of records. A record with several reasons counts under each of them.
    pub records: u64,
    pub first_seen: Time,
    pub last_seen: Time,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionsSummary {
    pub summary: Vec<RejectionCount>,
}

/// Rejections by reason, application and event type.
#[utoipa::path(get, path = "/v1/rejections/summary", tag = "Operations", params(SummaryParams), responses((status = 200, body = RejectionsSummary)))]
pub async fn rejections_summary(ask: Ask, Params(params): Params<SummaryParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 10_000)?);
    let reason = reason(params.reason.as_deref())?;
    ask.answer(Basis::Log, async |database, _| {
        let query = database.filtered("operations/rejections_summary.sql", &filter, [])?;
        Ok(RejectionsSummary {
            summary: query.param("reason", reason).param("limit", limit).fetch_all().await?,
        })
    })
    .await
}

filtered! {
    pub struct RejectionsSeriesParams {
        /// Length of a bucket; buckets start on full minutes, hours, days, Mondays, months in UTC.
        #[param(inline)]
        pub interval: Interval,
        /// Only records rejected for this reason, e.g. `data_invalid`.
        pub reason: Option<String>,
    }
}

/// How many records one reason rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "(String, u64)")]
pub struct ReasonCount {
    pub reason: String,
    pub records: u64,
}

impl From<(String, u64)> for ReasonCount {
    fn from((reason, records): (String, u64)) -> Self {
        Self { reason, records }
    }
}

/// One bucket of time.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct RejectionsBucket {
    pub start: Time,
    pub records: u64,
    /// The counts of each reason, by its name. A record with several reasons counts under each of them.
    pub reasons: Vec<ReasonCount>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionsSeries {
    pub series: Vec<RejectionsBucket>,
}

/// Rejections over time, by the time of receipt, buckets without rejections included. The first bucket is that of
/// `from`, or of the first rejection; the last bucket is that of `to`, or of the last rejection.
#[utoipa::path(get, path = "/v1/rejections/series", tag = "Operations", params(RejectionsSeriesParams), responses((status = 200, body = RejectionsSeries)))]
pub async fn rejections_series(
    ask: Ask,
    Params(params): Params<RejectionsSeriesParams>,
) -> Result<Response, Error> {
    let (filter, reason) = (params.filter()?, reason(params.reason.as_deref())?);
    ask.answer(Basis::Log, async |database, _| {
        let query = database.filtered("operations/rejections_series.sql", &filter, [])?;
        let query = query.param("reason", reason).param("width", params.interval.width());
        let empty = |start| RejectionsBucket { start, records: 0, reasons: Vec::new() };
        let found = query.fetch_all().await?;
        let series = fill(found, |bucket| bucket.start, empty, params.interval, params.from, params.to)?;
        Ok(RejectionsSeries { series })
    })
    .await
}
