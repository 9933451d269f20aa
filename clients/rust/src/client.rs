//! The client: takes events, and tells their fates.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::queue::{Dropped, Queue, Stats};
use crate::sender;

/// How a [`Client`] works. [`Options::new`] has defaults for a server.
#[derive(Clone)]
pub struct Options {
    /// The gateway, such as `https://eye.example.com`. White space around it is cut off.
    pub url: String,
    /// The application's key. White space around it, such as the line feed of a file, is cut off.
    pub key: String,
    /// Events in one request, at most.
    pub batch_events: usize,
    /// Bytes of JSON in one request, at most (one larger event travels alone).
    pub batch_bytes: usize,
    /// How long an event waits for others to share its request.
    pub flush_interval: Duration,
    /// Events held in memory, at most; later ones are dropped and counted.
    pub buffer_events: usize,
    /// Bytes held in memory, at most.
    pub buffer_bytes: usize,
    /// A larger event is dropped and counted.
    pub max_event_bytes: usize,
    /// After how long a request without an answer is given up and sent again.
    pub timeout: Duration,
    /// How long [`Client::close`] waits for the last events.
    pub close_timeout: Duration,
}

impl Options {
    #[must_use]
    pub fn new(url: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            key: key.into(),
            batch_events: 500,
            batch_bytes: 512 * 1024,
            flush_interval: Duration::from_millis(500),
            buffer_events: 10_000,
            buffer_bytes: 16 * 1024 * 1024,
            max_event_bytes: 256 * 1024,
            timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for Options {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("url", &self.url).finish_non_exhaustive()
    }
}

/// An option that no request can be made with. Its value is not told: it is the key, or may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOption {
    #[error("url must be like https://eye.example.com")]
    Url,
    #[error("key is empty, or has a character that no HTTP header carries")]
    Key,
}

/// Sends events for one application. Clones share one queue; the last one that is dropped lets the task
/// send what is waiting for as long as the runtime lives. Call [`Client::close`] to wait for that.
#[derive(Debug, Clone)]
pub struct Client {
    owner: Arc<Owner>,
}

#[derive(Debug)]
struct Owner {
    queue: Arc<Queue>,
    sender: AbortHandle,
    close_timeout: Duration,
}

impl Client {
    /// Starts the task that sends.
    ///
    /// # Errors
    /// If url or key can't be ones: every request would fail, for ever.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(mut options: Options) -> Result<Self, InvalidOption> {
        options.url = options.url.trim().to_owned();
        options.key = options.key.trim().to_owned();
        if !reqwest::Url::parse(&options.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(InvalidOption::Url);
        }
        if options.key.is_empty() || !options.key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(InvalidOption::Key);
        }
        let queue = Arc::new(Queue::new(&options));
        let close_timeout = options.close_timeout;
        let sender = tokio::spawn(sender::run(queue.clone(), options)).abort_handle();
        Ok(Self { owner: Arc::new(Owner { queue, sender, close_timeout }) })
    }

    /// Records that something happened, now. Returns the event's id, by which its fate can be asked for,
    /// or `None` if the event was dropped, which is counted. May be called from any thread.
    pub fn track(&self, session: Uuid, category: &str, name: &str, data: &impl Serialize) -> Option<Uuid> {
        const RFC3339: &[BorrowedFormatItem<'_>] =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
        #[derive(Serialize)]
        struct Event<'a, T> {
            event_id: Uuid,
            session_id: Uuid,
            category: &'a str,
            name: &'a str,
            timestamp: String,
            data: &'a T,
        }
        let event_id = Uuid::new_v4();
        let event = OffsetDateTime::now_utc().format(RFC3339).ok().and_then(|timestamp| {
            serde_json::to_vec(&Event { event_id, session_id: session, category, name, timestamp, data }).ok()
        });
        let Some(event) = event else {
            self.owner.queue.drop_one(Dropped::Invalid);
            return None;
        };
        self.owner.queue.put(event).then_some(event_id)
    }

    /// The fates of the events so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.owner.queue.stats()
    }

    /// Waits until the gateway has answered for all events tracked before this call, `timeout` at most;
    /// whether it has.
    pub async fn flush(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.owner.queue.settled()).await.is_ok()
    }

    /// Sends what is waiting, for [`Options::close_timeout`] at most, then stops and counts the rest as lost.
    pub async fn close(&self) {
        let Owner { queue, sender, close_timeout } = &*self.owner;
        queue.close();
        self.flush(*close_timeout).await;
        sender.abort();
        queue.give_up();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.queue.close();
    }
}
