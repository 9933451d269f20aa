//! The service: its parts, its routes, its life.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use infra::database::{self, OtherVersion, within};
use infra::http::Problem;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower_http::compression::CompressionLayer;

use crate::config::Config;
use crate::database::Database;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::operations::{Live, Log};
use crate::readers::Readers;
use crate::{console, docs};

/// Who asks whether we are ready does not wait for long.
const READY: Duration = Duration::from_secs(2);

/// What handlers share.
#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    /// The event types, for what was declared but never used.
    pub registry: Arc<schemas::Registry>,
    pub metrics: Metrics,
    /// The serving generation; none before the first `migrate`.
    serving: ArcSwapOption<Database>,
    /// Room for questions.
    room: Semaphore,
    readers: Readers,
    pub(crate) log: Log,
    pub(crate) live: Live,
    /// True once the service stops, for answers that would not end by themselves.
    pub stopping: watch::Sender<bool>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    pub fn database(&self) -> Result<Database, Error> {
        self.serving.load().as_deref().cloned().ok_or(Error::NotReady)
    }

    /// Finds out which generation serves.
    async fn look(&self) -> anyhow::Result<()> {
        let clickhouse = &self.config.clickhouse;
        let Some(generation) = database::serving(clickhouse).await? else {
            self.serving.store(None);
            return Ok(());
        };
        let name = clickhouse.generation(generation);
        if self.serving.load().as_ref().is_some_and(|serving| serving.name() == name) {
            return Ok(());
        }
        database::check_version(clickhouse, generation).await?;
        tracing::info!(database = name, "answers from");
        self.serving.store(Some(Arc::new(Database::new(clickhouse, generation, &self.config.limits))));
        Ok(())
    }
}

/// The query API, connected and not yet listening.
#[derive(Debug)]
pub struct Service {
    app: App,
}

impl Service {
    /// Loads the event types and looks for tables. Tables, or ClickHouse, may still be missing: `/readyz` says so.
    ///
    /// # Errors
    /// Event types that can't be read; tables of another version.
    pub async fn connect(config: Config) -> anyhow::Result<Self> {
        let registry = Arc::new(schemas::Registry::load(&config.event_types).context("event types")?);
        let room = Semaphore::new(config.limits.concurrency);
        let serving = ArcSwapOption::empty();
        let apps = match &config.apps {
            Some(path) => schemas::apps::Apps::load(path)?,
            None => schemas::apps::Apps::default(),
        };
        let app = App(Arc::new(Parts {
            readers: Readers::new(apps, config.open),
            log: Log::new(&config.kafka).context("kafka options")?,
            live: Live::new(),
            stopping: watch::Sender::new(false),
            metrics: Metrics::new()?,
            config,
            registry,
            serving,
            room,
        }));
        match app.look().await {
            Err(error) if error.is::<OtherVersion>() => return Err(error),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "waiting for ClickHouse"),
            Ok(()) => {}
        }
        Ok(Self { app })
    }

    /// Answers until `shutdown`, then lets the answers under way end.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let app = self.app;
        let looking = tokio::spawn({
            let app = app.clone();
            async move {
                let mut every = tokio::time::interval(Duration::from_secs(1));
                loop {
                    every.tick().await;
                    if let Err(error) = app.look().await {
                        tracing::warn!("cannot tell which generation serves: {error:#}");
                    }
                }
            }
        });
        let living = tokio::spawn(app.live.clone().run(app.clone()));
        let stopping = {
            let app = app.clone();
            async move {
                shutdown.await;
                app.stopping.send_replace(true);
            }
        };
        let served = axum::serve(listener, router(app)).with_graceful_shutdown(stopping).await;
        looking.abort();
        living.abort();
        Ok(served?)
    }
}

fn router(app: App) -> Router {
    let (questions, openapi) = docs::routes().split_for_parts();
    let questions = questions.route_layer(middleware::from_fn_with_state(app.clone(), guard));
    let openapi = Arc::new(openapi);
    // What never changes while we run is worth compressing, and has no tag of its own that would change with it.
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
        .with_state(app);
    infra::http::with_request_ids(router)
}

/// Key, room, time and count of every question.
async fn guard(State(app): State<App>, route: MatchedPath, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let _in_flight = app.metrics.in_flight();
    let response = match (app.readers.admit(request.headers()), app.room.try_acquire()) {
        (Ok(()), Ok(_room)) => next.run(request).await,
        (Err(refused), _) => refused.into_response(),
        (_, Err(_)) => Error::Busy.into_response(),
    };
    app.metrics.answered(route.as_str(), response.status().as_u16(), began.elapsed());
    response
}

/// Whether questions can be answered now.
async fn ready(State(app): State<App>) -> Response {
    let answered = match app.database() {
        Ok(database) => {
            within(READY, database.query("SELECT 1").fetch_one::<u8>()).await.map_err(Error::from)
        }
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
