//! The description of the API (OpenAPI), and a page to read it.

use axum::response::Html;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(info(
    title = "The Eye: query API",
    description = "Which features are used most, rarely, never, and in \
    what order; what went wrong with events. Every answer says in `as_of` what part of the log it includes, and \
    carries an ETag: ask again with If-None-Match and an unchanged answer is a 304 that costs nothing. Errors are \
    RFC 9457 problems with a `code`, a sentence that says what to do, and the field."
))]
pub(crate) struct Api;

/// The description as a page without parts from other servers.
pub(crate) fn page(openapi: &utoipa::openapi::OpenApi) -> Html<String> {
    let json = serde_json::to_string_pretty(openapi).unwrap_or_default();
    Html(infra::http::api_page("The Eye: query API", &json))
}
