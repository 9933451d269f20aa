//! A whole list as a stream, in ClickHouse's own formats. It is never in memory as a whole.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use clickhouse::query::BytesCursor;
use futures::stream;
use infra::database::{SMALL, within};

use crate::answer::{Ask, Look};
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::Filter;

/// A format to stream in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    media_type: &'static str,
    /// ClickHouse's name.
    format: &'static str,
    file_name: &'static str,
}

const FORMATS: [Format; 3] = [
    Format { media_type: "application/x-ndjson", format: "JSONEachRow", file_name: "events.ndjson" },
    Format { media_type: "text/csv", format: "CSVWithNames", file_name: "events.csv" },
    Format { media_type: "application/vnd.apache.parquet", format: "Parquet", file_name: "events.parquet" },
];

/// How long an export may take.
const LONGEST: Duration = Duration::from_secs(600);

/// The format that the asker accepts; none for a page of JSON.
pub(super) fn format(headers: &HeaderMap) -> Result<Option<Format>, Error> {
    let Some(accept) = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()) else {
        return Ok(None);
    };
    // The known format with the highest weight, and of equal weights the first (RFC 9110, 12.4.2).
    let (mut found, mut most) = (None, 0.0);
    for range in accept.split(',') {
        let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
        let known = match media_type.trim() {
            "application/json" | "application/*" | "*/*" | "text/html" => Some(None),
            "application/parquet" | "application/x-parquet" => Some(Some(FORMATS[2])),
            other => FORMATS.into_iter().find(|format| format.media_type == other).map(Some),
        };
        let weight = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
        let weight = weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(1.0));
        if known.is_some() && weight > most {
            (found, most) = (known, weight);
        }
    }
    found.ok_or_else(|| {
        Error::parameter(
            "Accept",
            "ask for application/json (a page), or for application/x-ndjson, text/csv or \
             application/vnd.apache.parquet (the whole list)",
        )
    })
}

pub(super) async fn stream(
    ask: Ask,
    filter: Filter,
    session_id: String,
    format: Format,
) -> Result<Response, Error> {
    let fresh = match ask.look(Basis::Log).await? {
        Look::Fresh(fresh) => fresh,
        Look::Unchanged(response) => return Ok(response),
    };
    let query = ask
        .database
        .filtered("events/export.sql", &filter, [])?
        .param("session_id", session_id)
        .with_setting("date_time_output_format", "iso")
        .with_setting("output_format_json_quote_64bit_integers", "0")
        .with_setting("max_result_bytes", "0")
        // The reader sets the pace of a stream. Only a page must be quick.
        .with_setting("max_execution_time", LONGEST.as_secs().to_string());
    let mut cursor = query.fetch_bytes(format.format)?;
    // The first piece is read before the status line is sent, so that a question that fails at once gets a problem.
    let first = piece(&mut cursor).await?;
    let rest = stream::try_unfold((cursor, ask.room), |(mut cursor, room)| async move {
        Ok::<_, Error>(piece(&mut cursor).await?.map(|bytes| (bytes, (cursor, room))))
    });
    let body = Body::from_stream(futures::StreamExt::chain(stream::iter(first.map(Ok)), rest));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{}\"", format.file_name));
    let mut response = (fresh.headers(), body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type));
    if let Ok(disposition) = disposition {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

async fn piece(cursor: &mut BytesCursor) -> Result<Option<Bytes>, Error> {
    Ok(within(LONGEST + SMALL, cursor.next()).await?)
}
