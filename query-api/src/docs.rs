//! The routes with their description, and a page to read it.

use axum::response::Html;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::App;
use crate::{events, operations, ordering, usage};

#[derive(OpenApi)]
#[openapi(info(
    title = "The Eye: query API",
    description = "Which features are used most, rarely, never, and in \
    what order; what went wrong with events. Every answer says in `as_of` what part of the log it includes, and \
    carries an ETag: ask again with If-None-Match and an unchanged answer is a 304 that costs nothing. Errors are \
    RFC 9457 problems with a `code`, a sentence that says what to do, and the field."
))]
struct Api;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(usage::features))
        .routes(routes!(usage::unused))
        .routes(routes!(usage::usage))
        .routes(routes!(usage::apps))
        .routes(routes!(ordering::transitions))
        .routes(routes!(ordering::precedence))
        .routes(routes!(ordering::paths))
        .routes(routes!(ordering::flow))
        .routes(routes!(ordering::funnel))
        .routes(routes!(ordering::entries))
        .routes(routes!(ordering::exits))
        .routes(routes!(ordering::retention))
        .routes(routes!(events::session))
        .routes(routes!(events::list))
        .routes(routes!(events::fate))
        .routes(routes!(operations::rejections))
        .routes(routes!(operations::rejections_summary))
        .routes(routes!(operations::rejections_series))
        .routes(routes!(operations::event_types))
        .routes(routes!(operations::audit))
        .routes(routes!(operations::health))
        .routes(routes!(operations::live))
}

/// The description as a page that needs nothing from elsewhere.
pub(crate) fn page(openapi: &utoipa::openapi::OpenApi) -> Html<String> {
    let json = serde_json::to_string_pretty(openapi).unwrap_or_default();
    Html(infra::http::api_page("The Eye: query API", &json))
}
