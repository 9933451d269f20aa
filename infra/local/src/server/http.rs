//! HTTP: connections, the paths that are not statements, and the way from a request to its answer.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Server;
use super::encoding::Encoding;
use super::exception::{Exception, code};
use super::flushed::Flushed;
use super::format;
use super::request::Request;
use super::running::Running;
use super::work::{Answer, BodyReader, Head, Work};

type Body = UnsyncBoxBody<Bytes, Exception>;
type Response = hyper::Response<Body>;

/// After a failed INSERT so much of its body is still read, so that a client that is sending sees the
/// answer and not a closed connection.
const DRAIN: usize = 256 << 20;
/// The largest answer that is held back until its statement has succeeded (`wait_end_of_query`).
const LARGEST_WHOLE: usize = 256 << 20;
/// How long open answers may take to end after the server was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `shutdown`, then refuses new connections, gives running statements a moment, and cancels
/// what is left.
pub(crate) async fn serve(server: Arc<Server>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(server.config.max_connections));
    let mut tasks = JoinSet::new();
    let (stop, stopped) = watch::channel(false);
    tokio::pin!(shutdown);
    loop {
        // A full server leaves new connections in the listen queue.
        let permit = tokio::select! {
            permit = Arc::clone(&connections).acquire_owned() => permit,
            () = &mut shutdown => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(Arc::clone(&server), stream, stopped.clone());
                tasks.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            // Out of file descriptors, most likely: they come back when connections close.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let _ = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    let _ = tokio::task::spawn_blocking(move || server.engine.kill_all()).await;
    tasks.shutdown().await;
}

async fn connection(server: Arc<Server>, stream: TcpStream, mut stopped: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let (stream, flushed) = Flushed::new(stream);
    let service = service_fn(move |request| {
        let (server, flushed) = (Arc::clone(&server), flushed.clone());
        async move { Ok::<_, Infallible>(respond(server, request, flushed).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(3600))
        .max_buf_size(1 << 20);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn respond(
    server: Arc<Server>,
    request: hyper::Request<Incoming>,
    flushed: super::flushed::Flushes,
) -> Response {
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let empty = request.uri().query().is_none_or(str::is_empty);
    match request.uri().path() {
        "/ping" | "/replicas_status" if reads => text(StatusCode::OK, "Ok.\n"),
        "/" if reads && empty => text(StatusCode::OK, "Ok.\n"),
        "/" | "/query" => match statement(&server, request, flushed).await {
            Ok(response) => response,
            Err(exception) => failure(&server, &exception, None),
        },
        path => {
            let known = "There is no handle here. Statements go to /, and /ping answers Ok.";
            text(StatusCode::NOT_FOUND, format!("{path}: {known}\n"))
        }
    }
}

async fn statement(
    server: &Arc<Server>,
    request: hyper::Request<Incoming>,
    flushed: super::flushed::Flushes,
) -> Result<Response, Exception> {
    let (parts, body) = request.into_parts();
    let mut request = Request::read(&parts)?;
    let user = server.users.authenticate(&request.user, &request.password)?.clone();
    let content_type = parts.headers.get(hyper::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|value| multer::parse_boundary(value).ok());
    let slot = server.slot().await?;
    let id = request.query_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let running = Running::register(server, id.clone())?;
    let (send_body, receive_body) = mpsc::channel(4);
    match boundary {
        Some(boundary) => {
            let text = multipart(&mut request, body, boundary).await?;
            let _ = send_body.send(Ok(text)).await;
            // The end of the body.
            drop(send_body);
        }
        None => {
            tokio::spawn(pump(body, send_body));
        }
    }
    let tag = exception_tag();
    let (send_head, receive_head) = oneshot::channel();
    let (send_pieces, mut pieces) = mpsc::channel(2);
    let (encoding, wait) = (request.encoding, request.wait_end_of_query);
    let work = Work {
        server: Arc::clone(server),
        user,
        request,
        mark: running.mark.clone(),
        body: BodyReader::new(receive_body),
        answer: Answer::new(send_head, send_pieces, encoding, tag.clone()),
        finished: running.finished(),
    };
    tokio::task::spawn_blocking(move || {
        work.run();
        drop(slot);
    });
    let head = receive_head
        .await
        .unwrap_or_else(|_| Err(Exception::new(code::ABORTED, "the statement was aborted")));
    let head = match head {
        Ok(head) => head,
        Err(exception) => return Ok(failure(server, &exception, Some(&id))),
    };
    if wait {
        let mut whole = Vec::new();
        while let Some(piece) = pieces.recv().await {
            match piece {
                Ok(piece) if whole.len() + piece.len() > LARGEST_WHOLE => {
                    let message = "the answer is too large to wait for its end: leave out wait_end_of_query";
                    return Ok(failure(server, &Exception::new(code::TOO_MANY_BYTES, message), Some(&id)));
                }
                Ok(piece) => whole.extend_from_slice(&piece),
                Err(exception) => return Ok(failure(server, &exception, Some(&id))),
            }
        }
        return Ok(answer(server, &head, encoding, &id, &tag, full(whole)));
    }
    let stream =
        futures::stream::unfold((pieces, flushed, running), |(mut pieces, flushed, running)| async {
            let piece = match pieces.recv().await? {
                Ok(piece) => Ok(Frame::data(piece)),
                Err(exception) => {
                    // The error resets the connection; what was written before must have left by then.
                    flushed.wait().await;
                    Err(exception)
                }
            };
            Some((piece, (pieces, flushed, running)))
        });
    let stream: BoxStream<'static, _> = stream.boxed();
    Ok(answer(server, &head, encoding, &id, &tag, UnsyncBoxBody::new(StreamBody::new(stream))))
}

/// Hands the body on; after the reader has gone, the rest is read and dropped.
async fn pump(mut body: Incoming, pieces: mpsc::Sender<io::Result<Bytes>>) {
    let mut drained = 0;
    while !body.is_end_stream() {
        let piece = match body.frame().await {
            Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()),
            // The client left: the statement must not take what it has for the whole.
            Some(Err(error)) => Err(io::Error::other(error)),
            None => return,
        };
        let (size, failed) = piece.as_ref().map_or((0, true), |piece| (piece.len(), false));
        if pieces.is_closed() {
            drained += size;
        } else {
            let _ = pieces.send(piece).await;
        }
        if failed || drained > DRAIN {
            return;
        }
    }
}

/// `multipart/form-data`: values of parameters, and the statement in `query`.
async fn multipart(request: &mut Request, body: Incoming, boundary: String) -> Result<Bytes, Exception> {
    let bad = |error: multer::Error| Exception::new(code::BAD_ARGUMENTS, format!("multipart body: {error}"));
    let limits = multer::SizeLimit::new().whole_stream(16 << 20);
    let constraints = multer::Constraints::new().size_limit(limits);
    let mut form = multer::Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let mut query = Bytes::new();
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "query" {
            query = field.bytes().await.map_err(bad)?;
        } else if let Some(param) = name.strip_prefix("param_") {
            let value = field.text().await.map_err(bad)?;
            request.params.push((param.to_owned(), value));
        } else {
            let message = format!("the part {name:?} is not understood: query and param_* are");
            return Err(Exception::new(code::BAD_ARGUMENTS, message));
        }
    }
    Ok(query)
}

fn answer(server: &Server, head: &Head, encoding: Encoding, id: &str, tag: &str, body: Body) -> Response {
    let counts = head.counts;
    let summary = format!(
        r#"{{"read_rows":"{}","read_bytes":"{}","written_rows":"{}","written_bytes":"{}","total_rows_to_read":"0","result_rows":"0","result_bytes":"0","elapsed_ns":"0"}}"#,
        counts.rows_read, counts.bytes_read, counts.rows_written, counts.bytes_written
    );
    let mut response = hyper::Response::builder()
        .header("Content-Type", format::media_type(&head.format))
        .header("X-ClickHouse-Format", head.format.as_str())
        .header("X-ClickHouse-Summary", summary)
        .header("X-ClickHouse-Exception-Tag", tag);
    if let Some(encoding) = encoding.header() {
        response = response.header("Content-Encoding", encoding);
    }
    finish(server, response, Some(id), body)
}

fn failure(server: &Server, exception: &Exception, id: Option<&str>) -> Response {
    let response = hyper::Response::builder()
        .status(exception.status())
        .header("Content-Type", "text/plain; charset=UTF-8")
        .header("X-ClickHouse-Exception-Code", exception.code);
    let text = format!("{} (version {})\n", exception.text, server.engine.version);
    finish(server, response, id, full(text))
}

fn finish(
    server: &Server,
    response: hyper::http::response::Builder,
    id: Option<&str>,
    body: Body,
) -> Response {
    let mut response = response
        .header("X-ClickHouse-Server-Display-Name", "clickhouse-local-server")
        .header("X-ClickHouse-Timezone", "UTC")
        .header("X-ClickHouse-Version", server.engine.version.as_str());
    // A client may choose any text as its id; one that can't be in a header is not repeated.
    if let Some(id) = id.and_then(|id| hyper::header::HeaderValue::from_str(id).ok()) {
        response = response.header("X-ClickHouse-Query-Id", id);
    }
    response.body(body).unwrap_or_else(|_| {
        let mut response = hyper::Response::new(full("a header cannot be written\n"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = hyper::Response::new(full(text));
    *response.status_mut() = status;
    response
}

fn full(bytes: impl Into<Bytes>) -> Body {
    UnsyncBoxBody::new(Full::new(bytes.into()).map_err(|never| match never {}))
}

/// 16 lower-case letters that no answer contains by accident.
fn exception_tag() -> String {
    uuid::Uuid::new_v4().as_bytes().iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}
