//! What all our HTTP servers answer alike.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use opentelemetry::trace::Status;
use prometheus::{Registry, TextEncoder};
use serde::Serialize;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::traces;

/// The name under which sender, answer and log speak of the same request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives every request an id, the caller's or a new one. It is in the answer, and in each line that is logged for the
/// request.
pub fn with_request_ids(router: Router) -> Router {
    router.layer(middleware::from_fn(request_id))
}

async fn request_id(request: Request, next: Next) -> Response {
    let id = given_id(request.headers()).unwrap_or_else(|| Uuid::now_v7().to_string());
    let header = HeaderValue::from_str(&id);
    let span = request_span(&request, id);
    let mut response = async {
        // The path alone: a query may hold a key.
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = next.run(request).await;
        tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span.clone())
    .await;
    if traces::are_exported() {
        let status = response.status();
        span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.set_status(Status::error(status.to_string()));
        }
    }
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

/// The span of a request. It has the level of errors, so that no filter takes the request off a line of the log. It
/// belongs to the caller's trace. Probes and scrapes are not traced.
fn request_span(request: &Request, request_id: String) -> Span {
    let (method, path) = (request.method(), request.uri().path());
    if !traces::are_exported() || ["/healthz", "/readyz", "/metrics"].contains(&path) {
        return tracing::error_span!("request", request_id);
    }
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let name = format!("{method} {route}");
    let span = tracing::error_span!(target: traces::TARGET, "request", request_id, otel.name = name, otel.kind = "server");
    span.set_attribute("http.request.method", method.to_string());
    span.set_attribute("url.path", path.to_owned());
    if let Some(traceparent) = request.headers().get("traceparent").and_then(|header| header.to_str().ok()) {
        traces::follow(&span, traceparent);
    }
    span
}

/// The caller's id, if it is one that may stand in a log: 1 to 128 letters, digits and `-_.:/+=`.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    ((1..=128).contains(&id.len()) && id.bytes().all(is_plain)).then(|| id.to_owned())
}

/// An error answer: `application/problem+json` (RFC 9457). `detail` says what to do about it.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(skip)]
    pub status: StatusCode,
    /// For programs: stable, snake_case.
    pub code: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// One sentence that says what to do.
    pub detail: String,
    /// The parameter, header or JSON pointer at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Seconds after which to try again: also sent as `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { status, code, title, detail: detail.into(), field: None, retry_after: None }
    }

    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            status: u16,
            #[serde(flatten)]
            problem: &'a Problem,
        }
        let body = Json(Body { status: self.status.as_u16(), problem: &self });
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// `GET /metrics`: the text exposition of a registry.
pub fn metrics(registry: &Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics", error.to_string()).into_response()
        }
    }
}

/// A page to read an API's description (OpenAPI 3.1, as JSON) that needs nothing from elsewhere.
pub fn api_page(title: &str, openapi: &str) -> String {
    let page = include_str!("http/api.html").replace("{title}", title);
    page.replace("{openapi}", &openapi.replace("</", "<\\/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_id_is_taken_from_a_caller() {
        let given = |id: &[u8]| {
            let id = HeaderValue::from_bytes(id).expect("a header");
            given_id(&HeaderMap::from_iter([(REQUEST_ID, id)]))
        };
        for id in ["7", "0b0b-4000", "Root=1-67891233-abcdef", "a/b+c:d_e.f", &"x".repeat(128)] {
            assert_eq!(given(id.as_bytes()).as_deref(), Some(id));
        }
        let too_long = "x".repeat(129);
        for id in [&b""[..], b"a b", b"\"a\"", b"{}", b"a\tb", b"\xff", "é".as_bytes(), too_long.as_bytes()]
        {
            assert_eq!(given(id), None);
        }
        assert_eq!(given_id(&HeaderMap::new()), None);
    }
}
