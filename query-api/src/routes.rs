//! The routing table, and what every question passes on its way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use infra::database::within;
use infra::http::Problem;
use tokio::time::timeout;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::Error;
use crate::{console, docs, events, operations, ordering, usage};

/// How long `/readyz` waits for ClickHouse.
const READY: Duration = Duration::from_secs(2);
/// Bytes of a question's body: several times twenty steps and twenty exclusions of the longest names.
const MAX_BODY: usize = 1 << 20;
/// How long the body of a question may take to come in.
const BODY: Duration = Duration::from_secs(10);

pub(crate) fn router(app: App) -> Router {
    let (questions, openapi) = questions().split_for_parts();
    let questions = questions.route_layer(middleware::from_fn_with_state(app.clone(), guard));
    let openapi = Arc::new(openapi);
    // These never change while the service runs, and have no ETag that compression would change.
    let files = Router::new()
        .route(
            "/openapi.json",
            get({
                let openapi = openapi.clone();
                async move || axum::Json(openapi.as_ref().clone())
            }),
        )
        .route("/docs", get(async move || docs::page(&openapi)))
        .fallback(console::file)
        .layer(CompressionLayer::new());
    let router = Router::new()
        .merge(questions)
        .merge(files)
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(app): State<App>| infra::http::metrics(&app.metrics.registry)))
        .method_not_allowed_fallback(async || {
            let detail = "this path does not take that method; /docs describes what it takes";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .with_state(app);
    infra::http::with_request_ids(router)
}

/// All questions.
fn questions() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::Api::openapi())
        .routes(routes!(usage::features::features))
        .routes(routes!(usage::unused::unused))
        .routes(routes!(usage::over_time::usage))
        .routes(routes!(usage::apps::apps))
        .routes(routes!(ordering::transitions::transitions))
        .routes(routes!(ordering::precedence::precedence))
        .routes(routes!(ordering::paths::paths))
        .routes(routes!(ordering::flow::flow))
        .routes(routes!(ordering::funnel::funnel))
        .routes(routes!(ordering::ends::entries))
        .routes(routes!(ordering::ends::exits))
        .routes(routes!(ordering::retention::retention))
        .routes(routes!(events::session::session))
        .routes(routes!(events::list::list))
        .routes(routes!(events::fate::fate))
        .routes(routes!(operations::rejections::rejections))
        .routes(routes!(operations::rejections::rejections_summary))
        .routes(routes!(operations::rejections::rejections_series))
        .routes(routes!(operations::event_types::event_types))
        .routes(routes!(operations::audit::audit))
        .routes(routes!(operations::health::health))
        .routes(routes!(operations::live::live))
}

/// Checks the key of every question, finds room for it, and measures it.
async fn guard(State(app): State<App>, route: MatchedPath, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let admitted = async {
        app.readers.borrow().admit(request.headers())?;
        // The whole body comes first: an asker that sends it slowly takes no room.
        let mut request = if request.method() == Method::POST { received(request).await? } else { request };
        request.extensions_mut().insert(app.room()?);
        Ok::<_, Error>(request)
    };
    let response = match admitted.await {
        Ok(request) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    app.metrics.answered(route.as_str(), response.status().as_u16(), began.elapsed());
    response
}

async fn received(request: Request) -> Result<Request, Error> {
    let (parts, body) = request.into_parts();
    let body = timeout(BODY, axum::body::to_bytes(body, MAX_BODY)).await.map_err(|_| Error::BodyTooSlow)?;
    Ok(Request::from_parts(parts, Body::from(body.map_err(Error::unreadable_body)?)))
}

/// Whether questions can be answered now.
async fn ready(State(app): State<App>) -> Response {
    let answered = match app.database() {
        Ok(database) => within(READY, database.answers()).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(_) => (StatusCode::OK, "ready\n").into_response(),
        Err(Error::NotReady) => Error::NotReady.into_response(),
        Err(error) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", format!("{error}")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::questions;

    /// The build of the console makes its types from this file.
    #[test]
    fn the_description_on_disk_is_that_of_the_routes() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let (_, openapi) = questions().split_for_parts();
        let description = serde_json::to_string_pretty(&openapi).unwrap() + "\n";
        if std::fs::read_to_string(file).unwrap_or_default() != description {
            std::fs::write(file, description).unwrap();
            panic!("query-api/openapi.json was stale. It is written anew: commit it");
        }
    }
}
