//! The HTTP server: connections within bounds, routes, and an orderly end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Body as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use infra::http::Problem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use crate::admit::Admission;
use crate::append::Log;
use crate::body::Bodies;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::personal::Personal;
use crate::prompt::Prompt;
use crate::{docs, intake, tls};

/// So long requests under way may take at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// So long a broker may take to say that it is there.
const READY: Duration = Duration::from_secs(2);

/// What requests share.
pub(crate) struct Gateway {
    pub config: Config,
    pub admission: Admission,
    pub bodies: Bodies,
    pub personal: Personal,
    pub log: Log,
    pub metrics: Arc<Metrics>,
}

/// Where a request comes from.
#[derive(Clone, Copy)]
struct Peer(IpAddr);

/// Takes events until `shutdown`, then lets requests under way end and the log have what was queued.
///
/// # Errors
/// A registry, event type, key, certificate or Kafka option that can't be used. A producer that can't go on, which is
/// rare: whoever supervises this process starts another.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new()?);
    let gateway = Arc::new(Gateway {
        admission: Admission::load(config.apps.clone(), Arc::clone(&metrics))?,
        bodies: Bodies::new(config.limits.clone()),
        personal: Personal::load(config.personal.clone(), Arc::clone(&metrics))?,
        log: Log::connect(&config.log, Arc::clone(&metrics))?,
        metrics,
        config,
    });
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
    // What was acknowledged is in the log already; this is for senders that have given up waiting.
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
                // Out of file descriptors, most likely: they come back as connections end.
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
        tracing::warn!("some requests did not end in time and are cut off");
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
    let (routes, openapi) = docs::routes().split_for_parts();
    let page = docs::page(&openapi);
    let router = Router::new()
        .merge(routes)
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
        .method_not_allowed_fallback(async || {
            let detail = "this path does not take that method; /docs describes what it takes";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .with_state(gateway);
    infra::http::with_request_ids(router)
}

/// Append events
///
/// One event, an array of events, or one a line (`application/x-ndjson`); `text/plain` is taken as JSON. A
/// receipt for each, in input order. An event that can't be appended has an `error` instead and does not harm its
/// neighbours. 202 says that all brokers which must acknowledge have the events with a place.
#[utoipa::path(
    post,
    path = "/events",
    tag = "events",
    params(("key" = Option<String>, Query, description = "a browser key, where a header can't be set (sendBeacon)")),
    request_body(content(
        (crate::docs::Events = "application/json"),
        (crate::docs::Event = "application/x-ndjson"),
        (crate::docs::Events = "text/plain"),
    )),
    responses(
        (status = 202, description = "at least one event is in the log", body = crate::docs::Receipts),
        (status = 400, description = "no event could be appended (receipts say why), or the body is not readable (a problem)",
            content((crate::docs::Receipts = "application/json"), (crate::docs::ProblemBody = "application/problem+json"))),
        (status = 401, description = "no key, or an unknown one", body = crate::docs::ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "not from this network or page", body = crate::docs::ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body came too slowly", body = crate::docs::ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too many bytes or events", body = crate::docs::ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "an unknown type or encoding", body = crate::docs::ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "over the application's rate; see Retry-After", body = crate::docs::ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "no room, or the brokers are slow; see Retry-After", body = crate::docs::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("application key" = []))
)]
pub(crate) async fn post_events(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let began = Instant::now();
    let (parts, mut body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
    let taken = intake::take(&gateway, peer, &parts, &mut body).await;
    let is_unread = taken.is_err() && !body.is_end_stream();
    let mut response = taken.unwrap_or_else(IntoResponse::into_response);
    if is_unread && parts.version < Version::HTTP_2 {
        // The connection ends with the answer, as the rest of the body stands in the way of a next request:
        // unsaid, the sender would send that, and lose it.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    allow_origin(&gateway, &parts.headers, response.headers_mut());
    let metrics = &gateway.metrics;
    metrics.request_seconds.observe(began.elapsed().as_secs_f64());
    metrics.requests.with_label_values(&[response.status().as_str()]).inc();
    response
}

/// What a browser asks before it sends from a page of another origin.
pub(crate) async fn preflight(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    allow_origin(&gateway, &headers, answer);
    if answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        let allowed = "authorization, content-type, content-encoding, traceparent, x-request-id";
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

fn allow_origin(gateway: &Gateway, asked: &HeaderMap, answer: &mut HeaderMap) {
    let Some(origin) = asked.get(header::ORIGIN) else { return };
    answer.insert(header::VARY, HeaderValue::from_static("Origin"));
    if origin.to_str().is_ok_and(|origin| gateway.admission.allows_origin(origin)) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let exposed = HeaderValue::from_static("retry-after, x-request-id");
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
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
