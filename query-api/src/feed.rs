//! Verdicts as they come in, for all readers that follow them.
//!
//! One task asks ClickHouse for all readers, and only while there are readers. A reader that is too slow misses some
//! verdicts and is told how many; nothing is kept for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use infra::database::{SMALL, within};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::as_of::AsOf;
use crate::database::Database;
use crate::error::Error;
use crate::values::{Id, Json, Reason, Time, Verdict};

const EVERY: Duration = Duration::from_millis(500);
/// How many verdicts of a partition a look takes, the newest ones: of a busy log the feed shows a sample.
const PER_PARTITION: u64 = 50;
/// How long a new reader waits for its first look.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How many messages a slow reader may be behind.
const BUFFER: usize = 2048;
const MAX_READERS: usize = 200;

/// A verdict as it came in; the server-sent event is named `accepted`, `rejected` or `duplicate`.
#[derive(Debug, Clone, Row, Serialize, Deserialize, ToSchema)]
pub struct LiveVerdict {
    pub partition: u16,
    pub offset: u64,
    pub verdict: Verdict,
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
pub(crate) enum Message {
    Verdict(Arc<LiveVerdict>),
    /// What the tables include now, and how many verdicts were left out.
    Now(Arc<AsOf>, u64),
}

#[derive(Debug, Clone)]
pub(crate) struct Feed {
    sender: Sender<Message>,
    /// A new reader waits for the next look.
    wake: Arc<Notify>,
    /// Changes with each look.
    looked: watch::Sender<()>,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::channel(BUFFER).0, wake: Arc::default(), looked: watch::Sender::new(()) }
    }

    /// Follows the feed. The receiver gets everything that comes in after this returns, unless ClickHouse is away.
    pub(crate) async fn listen(&self) -> Result<Receiver<Message>, Error> {
        if self.sender.receiver_count() >= MAX_READERS {
            return Err(Error::Busy);
        }
        let receiver = self.sender.subscribe();
        let mut looked = self.looked.subscribe();
        self.wake.notify_one();
        let _ = timeout(FIRST_LOOK, looked.changed()).await;
        Ok(receiver)
    }

    /// Looks for new verdicts while there are readers, for ever.
    pub(crate) async fn run(self, database: impl Fn() -> Result<Database, Error>) {
        let mut seen: Option<BTreeMap<u16, u64>> = None;
        let mut every = tokio::time::interval(EVERY);
        loop {
            tokio::select! { _ = every.tick() => {}, () = self.wake.notified() => {} }
            if self.sender.receiver_count() == 0 {
                seen = None;
                continue;
            }
            let looked = async {
                let database = database()?;
                let as_of = AsOf::of_log(&database).await?;
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
                Err(error) => tracing::debug!("cannot look for new verdicts: {error}"),
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
    let query = database.query("feed/news.sql", [])?;
    let query = query.param("partitions", partitions).param("starts", starts).param("ends", ends);
    Ok((query.fetch_all().await?, left_out))
}
