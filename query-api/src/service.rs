//! The service: its parts, its routes, its life.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use infra::database::within;
use infra::follow::Files;
use infra::http::Problem;
use schemas::apps::Apps;
use tables::OtherVersion;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tower_http::compression::CompressionLayer;

use crate::config::Config;
use crate::database::Database;
use crate::error::Error;
use crate::metrics::{InFlight, Metrics};
use crate::operations::{Live, Log};
use crate::readers::Readers;
use crate::{console, docs};

/// Who asks whether we are ready does not wait for long.
const READY: Duration = Duration::from_secs(2);
/// A question's body: twenty steps and twenty exclusions of the longest names fit in several times.
const MAX_BODY: usize = 1 << 20;
/// It comes in so long, or it is given up.
const BODY: Duration = Duration::from_secs(10);

/// What handlers share.
#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    /// The event types, for what was declared but never used.
    pub registry: ArcSwap<schemas::Registry>,
    pub metrics: Metrics,
    /// The serving generation; none before the first `migrate`.
    serving: ArcSwapOption<Database>,
    /// Room for questions.
    room: Arc<Semaphore>,
    pub(crate) readers: watch::Sender<Readers>,
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
        let Some(generation) = tables::serving(clickhouse).await? else {
            self.serving.store(None);
            return Ok(());
        };
        let name = clickhouse.generation(generation);
        if self.serving.load().as_ref().is_some_and(|serving| serving.name() == name) {
            return Ok(());
        }
        tables::check_version(clickhouse, generation).await?;
        tracing::info!(database = name, "answers from");
        self.serving.store(Some(Arc::new(Database::new(clickhouse, generation, &self.config.limits))));
        Ok(())
    }

    /// Reads the readers again whenever their file changes, for ever. A file that is refused changes nothing.
    async fn follow_readers(self, mut files: Files) {
        loop {
            files.changed().await;
            let read = read_apps(&self.config).map(|apps| {
                let readers = Readers::new(apps, self.config.open, Some(&self.readers.borrow()));
                self.readers.send_replace(readers);
            });
            self.metrics.apps.read_again("readers", files.version(), read);
        }
    }

    /// The same of the event types.
    async fn follow_event_types(self, mut files: Files) {
        loop {
            files.changed().await;
            let read = schemas::Registry::load(&self.config.event_types);
            let read = read.map(|registry| self.registry.store(Arc::new(registry)));
            self.metrics.event_types.read_again("event types", files.version(), read.map_err(Into::into));
        }
    }
}

fn read_apps(config: &Config) -> anyhow::Result<Apps> {
    Ok(config.apps.as_deref().map(Apps::load).transpose()?.unwrap_or_default())
}

/// The query API, connected and not yet listening.
#[derive(Debug)]
pub struct Service {
    app: App,
    apps: Files,
    event_types: Files,
}

impl Service {
    /// Loads the event types and looks for tables. Tables, or ClickHouse, may still be missing: `/readyz` says so.
    ///
    /// # Errors
    /// Event types that can't be read; tables of another version.
    pub async fn connect(config: Config) -> anyhow::Result<Self> {
        let event_types = Files::new(config.event_types.clone())?;
        let registry = schemas::Registry::load(&config.event_types).context("event types")?;
        let apps = Files::new(config.apps.iter().cloned().collect())?;
        let room = Arc::new(Semaphore::new(config.limits.concurrency));
        let serving = ArcSwapOption::empty();
        let readers = Readers::new(read_apps(&config)?, config.open, None);
        let metrics = Metrics::new()?;
        metrics.event_types.loaded(event_types.version());
        metrics.apps.loaded(apps.version());
        let app = App(Arc::new(Parts {
            readers: watch::Sender::new(readers),
            log: Log::new(&config.kafka).context("kafka options")?,
            live: Live::new(),
            stopping: watch::Sender::new(false),
            metrics,
            config,
            registry: ArcSwap::from_pointee(registry),
            serving,
            room,
        }));
        match app.look().await {
            Err(error) if error.is::<OtherVersion>() => return Err(error),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "waiting for ClickHouse"),
            Ok(()) => {}
        }
        Ok(Self { app, apps, event_types })
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
        let following = [
            tokio::spawn(app.clone().follow_readers(self.apps)),
            tokio::spawn(app.clone().follow_event_types(self.event_types)),
        ];
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
        following.iter().for_each(tokio::task::JoinHandle::abort);
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
        .method_not_allowed_fallback(async || {
            let detail = "this path does not take that method; /docs describes what it takes";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .with_state(app);
    infra::http::with_request_ids(router)
}

/// A question's place among those under way, free again once it is dropped: by the handler, or by the stream that
/// it answers with.
#[derive(Debug, Clone)]
pub(crate) struct Room(#[expect(dead_code, reason = "held, not read")] Arc<(OwnedSemaphorePermit, InFlight)>);

/// Key, room, time and count of every question.
async fn guard(State(app): State<App>, route: MatchedPath, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let admitted = async {
        app.readers.borrow().admit(request.headers())?;
        // First the whole body: who sends it slowly takes no room.
        let mut request = if request.method() == Method::POST { received(request).await? } else { request };
        let permit = app.room.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        request.extensions_mut().insert(Room(Arc::new((permit, app.metrics.in_flight()))));
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
