//! The HTTP server: connections within bounds, routes, and an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use infra::http::{Problem, REQUEST_ID};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::Service;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
use crate::gateway::Gateway;
use crate::intake::Peer;
use crate::prompt::Prompt;
use crate::{docs, intake, tls};

/// How long requests under way may take at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a broker may take to answer `/readyz`.
const READY: Duration = Duration::from_secs(2);

/// Takes events until `shutdown`. Then it lets the requests under way end, and flushes the queue.
///
/// # Errors
/// A registry, event type, key, certificate or Kafka option that can't be used; or a fatal error of the producer, which
/// is rare: the supervisor of this process starts another.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let gateway = Arc::new(Gateway::new(config)?);
    let tls = tls::acceptor(&gateway.config)?;
    let watching = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { tokio::join!(gateway.admission.watch(), gateway.personal.watch()) }
    });
    let mut fatal = None;
    let ended = async {
        tokio::select! {
            () = shutdown => {}
            why = gateway.log.fatal() => fatal = Some(why),
        }
    };
    accept(&gateway, listener, tls, ended).await;
    watching.abort();
    if let Some(why) = fatal {
        anyhow::bail!("the Kafka producer takes no more records, start the gateway again: {why}");
    }
    // Acknowledged events are in the log already. These are of senders that have given up waiting.
    let last = tokio::task::spawn_blocking(move || gateway.log.flush(DRAIN)).await?;
    last.map_err(|error| anyhow::anyhow!("some events were still unacknowledged at the end: {error}"))
}

async fn accept(
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shutdown: impl Future<Output = ()>,
) {
    let router = router(Arc::clone(gateway));
    let room = Arc::new(Semaphore::new(gateway.config.limits.max_connections));
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely there are no file descriptors left: they come back as connections end.
                tracing::warn!(%error, "accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (gateway, router, tls, watcher) =
            (Arc::clone(gateway), router.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            gateway.metrics.connections.inc();
            connection(&gateway, router, tls, stream, peer, watcher).await;
            gateway.metrics.connections.dec();
            drop(permit);
        });
    }
    drop(listener);
    let waited = tokio::time::timeout(DRAIN, graceful.shutdown());
    if waited.await.is_err() {
        tracing::warn!("some requests did not end in time: their connections are closed");
    }
}

async fn connection(
    gateway: &Gateway,
    router: Router,
    tls: Option<TlsAcceptor>,
    stream: TcpStream,
    peer: SocketAddr,
    watcher: Watcher,
) {
    let _ = stream.set_nodelay(true);
    let read = gateway.config.limits.read;
    match tls {
        None => http(router, stream, peer, read, watcher).await,
        Some(tls) => match tokio::time::timeout(read, tls.accept(stream)).await {
            Ok(Ok(stream)) => http(router, stream, peer, read, watcher).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS"),
            Err(_) => tracing::debug!(%peer, "TLS handshake too slow"),
        },
    }
}

async fn http<S>(router: Router, stream: S, peer: SocketAddr, read: Duration, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        router.clone().call(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(read);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(read)
        .keep_alive_timeout(read)
        .max_concurrent_streams(200)
        .max_header_list_size(32 << 10);
    let connection = watcher
        .watch(builder.serve_connection(TokioIo::new(Prompt::new(stream, read)), service).into_owned());
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "connection");
    }
}

fn router(gateway: Arc<Gateway>) -> Router {
    let events = OpenApiRouter::with_openapi(docs::Api::openapi()).routes(routes!(intake::post_events));
    let (events, openapi) = events.split_for_parts();
    // Before the layer: it must see OPTIONS.
    let events = events.method_not_allowed_fallback(other_method).layer(cors(Arc::clone(&gateway)));
    let page = docs::page(&openapi);
    let router = Router::new()
        .merge(events)
        .route("/openapi.json", get(async move || axum::Json(openapi)))
        .route("/docs", get(async move || page))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "events go to POST /events; /docs describes the rest",
            )
        })
        .method_not_allowed_fallback(other_method)
        .with_state(gateway);
    infra::http::with_request_ids(router)
}

async fn other_method() -> Problem {
    let detail = "this path does not take that method; /docs describes what it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Lets a page of another origin send if any application names the origin. Later the key says which application it is.
fn cors(gateway: Arc<Gateway>) -> CorsLayer {
    let traceparent = HeaderName::from_static("traceparent");
    let (key, form, encoding) = (header::AUTHORIZATION, header::CONTENT_TYPE, header::CONTENT_ENCODING);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            origin.to_str().is_ok_and(|origin| gateway.admission.allows_origin(origin))
        }))
        .allow_methods([Method::POST])
        .allow_headers([key, form, encoding, traceparent, REQUEST_ID])
        .expose_headers([header::RETRY_AFTER, REQUEST_ID])
        .max_age(Duration::from_secs(600))
        .vary([header::ORIGIN])
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let checked = tokio::task::spawn_blocking(move || gateway.log.check(READY)).await;
    match checked.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(()) => "ready\n".into_response(),
        Err(why) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", why).retry_after(1).into_response()
        }
    }
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let (events, kibibytes) = gateway.log.queued();
    gateway.metrics.queue_events.set(events.into());
    gateway.metrics.queue_bytes.set(i64::from(kibibytes) * 1024);
    infra::http::metrics(&gateway.metrics.registry)
}
