//! The HTTP answers of the projector: health, readiness, metrics.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use infra::http::Problem;
use prometheus::Registry;
use serde_json::json;

use crate::work::Work;

/// How long the loop may stand still before it counts as stuck. A commit waits at most a minute for its broker.
const STUCK: Duration = Duration::from_secs(120);

type Current = Arc<ArcSwapOption<Work>>;

pub(crate) fn router(registry: Registry, current: Current) -> Router {
    let router = Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .with_state(current)
        .route("/metrics", get(move || async move { infra::http::metrics(&registry) }));
    infra::http::with_request_ids(router)
}

/// 200 while the loop turns. Silent brokers or a silent ClickHouse are no reason to restart the projector: it waits for
/// them, and `/readyz` says so.
async fn healthy(State(current): State<Current>) -> Response {
    match current.load().as_ref().and_then(|work| work.progress.stuck()) {
        Some(silence) if silence > STUCK => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stuck",
            format!("the loop has not turned for {} s: restart this process", silence.as_secs()),
        )
        .into_response(),
        _ => Json(json!({"status": "ok"})).into_response(),
    }
}

/// 200 while brokers and ClickHouse answer, inserts succeed, and all owned partitions run: none holds another log, and
/// none stands still. `Progress::waits_for` has the reasons.
async fn ready(State(current): State<Current>) -> Response {
    let waiting = |detail: &str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail).retry_after(1).into_response()
    };
    let current = current.load();
    let Some(work) = current.as_ref() else { return waiting("waiting for ClickHouse") };
    let starting = work.metrics.partitions_starting.get();
    if let Some(missing) = work.progress.waits_for() {
        waiting(&missing)
    } else if starting > 0 {
        waiting(&format!("{starting} partitions are not running yet; the log says why"))
    } else {
        let partitions = work.progress.owned().len();
        Json(json!({"status": "ok", "generation": work.database.name, "partitions": partitions}))
            .into_response()
    }
}
