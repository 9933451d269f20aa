//! Events and verdicts as they come in, as server-sent events.
//!
//! One task asks ClickHouse for everybody who looks, and only while somebody does. Who is too slow misses
//! some and is told how many; nothing is kept for them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use clickhouse::Row;
use futures::stream;
use infra::database::{SMALL, within};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Sender};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::answer::{AsOf, Basis};
use crate::database::Database;
use crate::error::Error;
use crate::events::{NoParams, Reason};
use crate::params::Params;
use crate::service::App;
use crate::values::{Id, Json, Time};

const EVERY: Duration = Duration::from_millis(500);
/// Newest verdicts of a partition per look; a busy log shows a sample.
const PER_PARTITION: u64 = 50;
/// So long a new reader waits for the first look, from which on nothing is left out.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// What a slow reader may be behind.
const BUFFER: usize = 2048;
const MAX_READERS: usize = 200;

/// A verdict as it came in; the server-sent event is named `accepted`, `rejected` or `duplicate`.
#[derive(Debug, Clone, Row, Serialize, Deserialize, ToSchema)]
pub struct LiveVerdict {
    pub partition: u16,
    pub offset: u64,
    pub verdict: String,
    pub event_id: Id,
    pub session_id: Id,
    pub timestamp: Time,
    pub received_at: Time,
    pub app: String,
    pub category: String,
    pub name: String,
    /// Of an accepted event.
    pub data: Json,
    /// Of a rejected one.
    pub reasons: Vec<Reason>,
}

#[derive(Debug, Clone)]
enum Message {
    Verdict(Arc<LiveVerdict>),
    /// How far it goes now, and how many verdicts were left out.
    Now(Arc<AsOf>, u64),
}

#[derive(Debug, Clone)]
pub(crate) struct Live {
    sender: Sender<Message>,
    /// Somebody waits for the next look.
    wake: Arc<Notify>,
    /// Changes with each look.
    looked: watch::Sender<()>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::channel(BUFFER).0, wake: Arc::default(), looked: watch::Sender::new(()) }
    }

    /// Looks for news as long as somebody listens.
    pub(crate) async fn run(self, app: App) {
        let mut seen: Option<BTreeMap<u16, u64>> = None;
        let mut every = tokio::time::interval(EVERY);
        loop {
            tokio::select! { _ = every.tick() => {}, () = self.wake.notified() => {} }
            if self.sender.receiver_count() == 0 {
                seen = None;
                continue;
            }
            let looked = async {
                let database = app.database()?;
                let as_of = AsOf::read(&database, &Basis::Log).await?;
                let (news, left_out) = match &seen {
                    None => (Vec::new(), 0),
                    Some(seen) => news(&database, seen, &as_of).await?,
                };
                Ok::<_, Error>((as_of, news, left_out))
            };
            match within(SMALL, looked).await {
                Ok((as_of, news, left_out)) => {
                    let moved = seen.as_ref() != Some(&as_of.positions);
                    seen = Some(as_of.positions.clone());
                    self.looked.send_replace(());
                    for verdict in news {
                        let _ = self.sender.send(Message::Verdict(Arc::new(verdict)));
                    }
                    if moved {
                        let _ = self.sender.send(Message::Now(Arc::new(as_of), left_out));
                    }
                }
                Err(error) => tracing::debug!("live: {error}"),
            }
        }
    }
}

async fn news(
    database: &Database,
    seen: &BTreeMap<u16, u64>,
    as_of: &AsOf,
) -> Result<(Vec<LiveVerdict>, u64), Error> {
    let (mut partitions, mut starts, mut ends, mut left_out) = (vec![], vec![], vec![], 0);
    for (partition, end) in &as_of.positions {
        let since = seen.get(partition).copied().unwrap_or(0);
        if since < *end {
            let start = since.max(end.saturating_sub(PER_PARTITION));
            left_out += start - since;
            partitions.push(*partition);
            starts.push(start);
            ends.push(*end);
        }
    }
    if partitions.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let query = database.query(include_str!("live.sql"));
    let query = query.param("partitions", partitions).param("starts", starts).param("ends", ends);
    Ok((query.fetch_all().await?, left_out))
}

/// Verdicts as they come in, as server-sent events `accepted`, `rejected`, `duplicate` (the data is a
/// verdict); `as_of` when the tables moved on; `skipped` (`{"verdicts": n}`) when some were left out, because
/// the log is busy or the reader slow.
#[utoipa::path(get, path = "/v1/live", tag = "Operations",
    responses((status = 200, body = LiveVerdict, content_type = "text/event-stream")))]
pub async fn live(
    State(app): State<App>,
    Params(_): Params<NoParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if app.live.sender.receiver_count() >= MAX_READERS {
        return Err(Error::Busy);
    }
    let receiver = app.live.sender.subscribe();
    // Whoever is told that the stream is open misses nothing from then on. Without ClickHouse there is no look.
    let mut looked = app.live.looked.subscribe();
    app.live.wake.notify_one();
    let _ = timeout(FIRST_LOOK, looked.changed()).await;
    let stopping = app.stopping.subscribe();
    let readers = app.readers.subscribe();
    let events = stream::unfold(
        (receiver, stopping, readers, headers, Vec::<Event>::new()),
        async |(mut receiver, mut stopping, mut readers, headers, mut ready)| {
            loop {
                if let Some(event) = ready.pop() {
                    return Some((Ok::<_, Infallible>(event), (receiver, stopping, readers, headers, ready)));
                }
                let message = tokio::select! {
                    message = receiver.recv() => message,
                    _ = stopping.wait_for(|stopping| *stopping) => return None,
                    // The key was taken away.
                    _ = readers.wait_for(|readers| !readers.allows(&headers)) => return None,
                };
                let skipped = |verdicts: u64| {
                    Event::default().event("skipped").data(format!("{{\"verdicts\":{verdicts}}}"))
                };
                match message {
                    Ok(Message::Verdict(verdict)) => {
                        let event = Event::default().event(verdict.verdict.clone());
                        let id = format!("{}-{}", verdict.partition, verdict.offset);
                        ready.extend(event.id(id).json_data(verdict.as_ref()).ok());
                    }
                    Ok(Message::Now(as_of, left_out)) => {
                        ready.extend(Event::default().event("as_of").json_data(as_of.as_ref()).ok());
                        ready.extend((left_out > 0).then(|| skipped(left_out)));
                    }
                    Err(RecvError::Lagged(missed)) => ready.push(skipped(missed)),
                    Err(RecvError::Closed) => return None,
                }
            }
        },
    );
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}
