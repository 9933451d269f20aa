//! What every HTTP surface of ours answers alike.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Registry, TextEncoder};
use serde::Serialize;

/// An error answer: `application/problem+json` (RFC 9457). `detail` says what to do about it.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(skip)]
    pub status: StatusCode,
    /// Stable, snake_case; what a program branches on.
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
