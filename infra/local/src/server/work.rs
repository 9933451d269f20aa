//! One statement, on a thread of its own: reads the body, runs the engine, sends the answer in chunks.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::encoding::{self, Encoder, Encoding};
use super::engine::Session;
use super::exception::{Exception, code};
use super::format::{self, Chunks};
use super::request::Request;
use super::running::Finished;
use super::statement::{self, Kind, Statement};
use super::users::User;
use super::{Server, block, hello};
use crate::ffi::chdb::{Counts, Insert};

/// The longest statement, without an INSERT's data.
const LONGEST_STATEMENT: usize = 4 << 20;
/// How much of an INSERT's data is handed to the engine at a time.
const PIECE: usize = 256 << 10;

/// A client that neither sends nor takes anything for so long has left.
const STALL: Duration = Duration::from_secs(300);

/// What is known when the answer begins.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) format: String,
    /// Final for statements whose answer is in one piece.
    pub(crate) counts: Counts,
}

/// A piece of the answer; `Err` means that the answer can't be completed.
pub(crate) type Piece = Result<Bytes, Exception>;

pub(crate) struct Work {
    pub(crate) server: Arc<Server>,
    pub(crate) user: User,
    pub(crate) request: Request,
    pub(crate) mark: String,
    pub(crate) body: BodyReader,
    pub(crate) answer: Answer,
    pub(crate) finished: Finished,
}

impl Work {
    pub(crate) fn run(mut self) {
        let mut answer = std::mem::replace(&mut self.answer, Answer::gone());
        let outcome = self.execute(&mut answer);
        // Also of a statement that never reached the engine.
        self.finished.set();
        if let Err(exception) = outcome {
            answer.fail(exception);
        }
    }

    fn execute(&mut self, answer: &mut Answer) -> Result<(), Exception> {
        let body = std::mem::replace(&mut self.body, BodyReader::empty());
        let body = encoding::decode(&self.request.content_encoding, body)?;
        let body: Box<dyn Read + Send> =
            if self.request.decompress { Box::new(block::Decompress::new(body)) } else { body };
        let (text, statement, data) = split(self.request.query.as_deref(), body)?;
        self.permit(&statement)?;
        let mut settings = std::mem::take(&mut self.request.settings);
        // By this a statement is found again when its client has left.
        settings.push(("log_comment".to_owned(), self.mark.clone()));
        let key = self.request.session.as_ref();
        let mut session = self.server.take_session(&self.user, key, &settings)?;
        let outcome = session
            .set(&settings)
            .and_then(|()| self.statement(&mut session, &text, &statement, data, answer));
        // Before the client sees the end: it may use the session again at once.
        self.finished.set();
        let clean = outcome.is_ok() && matches!(statement.kind, Kind::Select | Kind::Describe | Kind::Insert);
        self.server.give_back(&self.user, key, session, clean);
        outcome?;
        answer.finish()
    }

    /// What grants can't express; the rest is the engine's business.
    fn permit(&self, statement: &Statement) -> Result<(), Exception> {
        let reads = matches!(statement.kind, Kind::Select | Kind::Describe);
        if self.request.only_reads && !reads {
            let message = "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. \
                           You should use method POST for modifying queries";
            return Err(Exception::new(code::READONLY, message));
        }
        if self.user.writes {
            return Ok(());
        }
        let denied =
            |what: &str| Err(Exception::new(code::ACCESS_DENIED, format!("{}: {what}", self.user.name)));
        let system = |name: &str| name.eq_ignore_ascii_case("system");
        if !reads && statement.kind != Kind::Session {
            return denied("this user only reads");
        }
        let elsewhere = self.request.params.iter().any(|(_, value)| system(value));
        if statement.reads_system || elsewhere || self.request.database.as_deref().is_some_and(system) {
            return denied("this user may not read that table of system");
        }
        Ok(())
    }

    fn statement(
        &self,
        session: &mut Session,
        text: &str,
        statement: &Statement,
        data: Box<dyn Read + Send>,
        answer: &mut Answer,
    ) -> Result<(), Exception> {
        session.use_database(self.request.database.as_deref().unwrap_or("default"))?;
        let params = &self.request.params;
        let named = statement.format.clone().or_else(|| self.request.default_format.clone());
        if statement.kind == Kind::Insert {
            let format = named.unwrap_or_else(|| "Values".to_owned());
            let insert = session.connection.insert(text, &format, params)?;
            let counts = copy(data, insert)?.counts();
            return answer.begin(Head { format, counts });
        }
        let format = named.unwrap_or_else(|| "TabSeparated".to_owned());
        if self.request.protocol_revision > 0 && text.trim() == hello::QUESTION {
            answer.begin(Head { format, counts: Counts::default() })?;
            let block = hello::answer(self.request.protocol_revision, &self.server.engine.version);
            return answer.send(block.into());
        }
        let chunks = format::chunks(&format);
        if statement.kind != Kind::Select || chunks == Chunks::Whole {
            let whole = session.connection.query(text, &format, params)?;
            answer.begin(Head { format, counts: whole.counts() })?;
            return answer.send(Bytes::from_owner(whole));
        }
        let mut stream = session.connection.stream(text, &format, params)?;
        // The first chunk before the status line: most errors show by then.
        let mut chunk = stream.next()?;
        answer.begin(Head { format, counts: Counts::default() })?;
        let mut first = true;
        while let Some(bytes) = chunk.map(Bytes::from_owner) {
            let start = if first { 0 } else { chunks.header(&bytes) };
            first = false;
            answer.send(bytes.slice(start..))?;
            chunk = stream.next()?;
        }
        Ok(())
    }
}

fn copy(
    mut data: Box<dyn Read + Send>,
    mut insert: Insert<'_>,
) -> Result<crate::ffi::chdb::Answer, Exception> {
    let mut piece = vec![0; PIECE];
    loop {
        match data.read(&mut piece).map_err(unreadable)? {
            0 => return insert.finish(),
            size => insert.append(&piece[..size])?,
        }
    }
}

/// The statement and the data that follows it, from the `query` parameter and the body.
#[allow(clippy::type_complexity)]
fn split(
    query: Option<&str>,
    mut body: Box<dyn Read + Send>,
) -> Result<(String, Statement, Box<dyn Read + Send>), Exception> {
    if let Some(query) = query.filter(|query| !query.trim().is_empty()) {
        let statement = statement::read(query)?;
        if statement.kind == Kind::Insert {
            let data = io::Cursor::new(query.as_bytes()[statement.data..].to_vec()).chain(body);
            return Ok((query[..statement.end].to_owned(), statement, Box::new(data)));
        }
    }
    let mut bytes = query.map(|query| format!("{query}\n").into_bytes()).unwrap_or_default();
    let limit = LONGEST_STATEMENT as u64;
    body.by_ref().take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    // Binary data may follow: the statement is in the part that is text.
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    let statement = statement::read(text)?;
    let end = statement.end;
    if statement.kind == Kind::Insert && statement.format.is_some() {
        let data = io::Cursor::new(bytes[statement.data..].to_vec()).chain(body);
        return Ok((text[..end].to_owned(), statement, Box::new(data)));
    }
    if text.len() < bytes.len() {
        return Err(Exception::new(code::SYNTAX_ERROR, "Syntax error: the statement is not UTF-8"));
    }
    if bytes.len() >= LONGEST_STATEMENT {
        let message = format!("Max query size exceeded: a statement has at most {LONGEST_STATEMENT} bytes");
        return Err(Exception::new(code::SYNTAX_ERROR, message));
    }
    Ok((text[..end].to_owned(), statement, Box::new(io::empty())))
}

/// Errors of the body: ours travel inside, the rest is the client's or the network's.
fn unreadable(error: io::Error) -> Exception {
    let message = error.to_string();
    match error.into_inner().map(|inner| inner.downcast::<Exception>()) {
        Some(Ok(exception)) => *exception,
        _ => {
            Exception::new(code::CANNOT_DECOMPRESS, format!("Cannot read the body of the request: {message}"))
        }
    }
}

/// The body as it arrives, for a thread that blocks.
pub(crate) struct BodyReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl BodyReader {
    pub(crate) fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { pieces, piece: Bytes::new() }
    }

    fn empty() -> Self {
        Self::new(mpsc::channel(1).1)
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match Handle::current().block_on(timeout(STALL, self.pieces.recv())) {
                Ok(Some(piece)) => self.piece = piece?,
                Ok(None) => return Ok(0),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        let size = buffer.len().min(self.piece.len());
        buffer[..size].copy_from_slice(&self.piece.split_to(size));
        Ok(size)
    }
}

/// Where the answer goes.
pub(crate) struct Answer {
    head: Option<oneshot::Sender<Result<Head, Exception>>>,
    pieces: mpsc::Sender<Piece>,
    encoding: Encoding,
    encoder: Option<Encoder>,
    tag: String,
}

impl Answer {
    pub(crate) fn new(
        head: oneshot::Sender<Result<Head, Exception>>,
        pieces: mpsc::Sender<Piece>,
        encoding: Encoding,
        tag: String,
    ) -> Self {
        Self { head: Some(head), pieces, encoding, encoder: None, tag }
    }

    fn gone() -> Self {
        Self {
            head: None,
            pieces: mpsc::channel(1).0,
            encoding: Encoding::Identity,
            encoder: None,
            tag: String::new(),
        }
    }

    fn begin(&mut self, head: Head) -> Result<(), Exception> {
        self.encoder = Some(Encoder::new(self.encoding).map_err(broken)?);
        let receiver = self.head.take().map(|sender| sender.send(Ok(head)));
        if matches!(receiver, Some(Ok(()))) { Ok(()) } else { Err(left()) }
    }

    fn send(&mut self, chunk: Bytes) -> Result<(), Exception> {
        let Some(encoder) = self.encoder.as_mut().filter(|_| !chunk.is_empty()) else { return Ok(()) };
        let encoded = encoder.encode(chunk).map_err(broken)?;
        self.push(Ok(encoded))
    }

    fn finish(&mut self) -> Result<(), Exception> {
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let rest = encoder.finish().map_err(broken)?;
        if rest.is_empty() {
            return Ok(());
        }
        self.push(Ok(rest))
    }

    fn push(&self, piece: Piece) -> Result<(), Exception> {
        let sent = Handle::current().block_on(timeout(STALL, self.pieces.send(piece)));
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(left()) }
    }

    /// Before the answer has begun, an exception is the answer; after that it is written into the body,
    /// marked as ClickHouse does, and the body is cut short.
    fn fail(&mut self, exception: Exception) {
        if let Some(head) = self.head.take() {
            let _ = head.send(Err(exception));
            return;
        }
        let Some(mut encoder) = self.encoder.take() else { return };
        let Self { tag, .. } = self;
        let text = &exception.text;
        let marked =
            format!("\r\n__exception__\r\n{tag}\r\n{text}\n{} {tag}\r\n__exception__\r\n", text.len() + 1);
        let Ok(mut wire) = encoder.encode(marked.into()).map(Vec::from) else { return };
        wire.extend(encoder.finish().unwrap_or_default());
        if self.push(Ok(wire.into())).is_ok() {
            let _ = self.push(Err(exception));
        }
    }
}

fn broken(error: io::Error) -> Exception {
    Exception::new(code::ABORTED, error)
}

fn left() -> Exception {
    Exception::new(code::ABORTED, "the client has left")
}
