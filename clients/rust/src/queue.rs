//! The queue of events that wait for a request, and their counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::Options;

/// The fates of the events, each counted once: `accepted == delivered + rejected + lost + waiting`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events for which `track` returned an id.
    pub accepted: u64,
    /// Events the gateway gave a receipt for: they are in the log.
    pub delivered: u64,
    /// Events the gateway refused for good, by its error code.
    pub rejected: BTreeMap<String, u64>,
    /// Accepted events given up when the client closed.
    pub lost: u64,
    /// Events never accepted.
    pub dropped: BTreeMap<Dropped, u64>,
    /// Requests sent again, whatever the reason.
    pub retries: u64,
    /// Events in the queue or on the wire.
    pub waiting: u64,
}

/// Why `track` did not accept an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// The queue is full: the gateway can't be reached, or is slower than the application.
    BufferFull,
    /// The data can't be serialised.
    Invalid,
    /// Larger than [`Options::max_event_bytes`].
    TooLarge,
    /// The client is closed.
    Closed,
}

/// Between `track`, on any thread, and the one task that sends.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// A batch was begun or filled, or somebody is in a hurry.
    changed: Notify,
    /// How many events have met their end.
    settled: watch::Sender<u64>,
    limits: Limits,
}

#[derive(Debug)]
struct Limits {
    batch_events: usize,
    batch_bytes: usize,
    buffer_events: usize,
    buffer_bytes: usize,
    max_event_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Vec<u8>>,
    /// The bytes of the events in the queue and on the wire.
    bytes: usize,
    stats: Stats,
    /// Send without waiting for more until this many have been settled.
    hurry_to: u64,
    closed: bool,
    /// Requests since the last one whose events all met their end.
    failures: u32,
}

impl Queue {
    pub(crate) fn new(options: &Options) -> Self {
        let limits = Limits {
            batch_events: options.batch_events.max(1),
            batch_bytes: options.batch_bytes,
            buffer_events: options.buffer_events,
            buffer_bytes: options.buffer_bytes,
            max_event_bytes: options.max_event_bytes,
        };
        let (settled, _) = watch::channel(0);
        Self { state: Mutex::default(), changed: Notify::new(), settled, limits }
    }

    pub(crate) fn put(&self, event: Vec<u8>) -> bool {
        let limits = &self.limits;
        let mut state = self.lock();
        let dropped = if state.closed {
            Dropped::Closed
        } else if event.len() > limits.max_event_bytes {
            Dropped::TooLarge
        } else if state.stats.waiting >= limits.buffer_events as u64
            || state.bytes + event.len() > limits.buffer_bytes
        {
            Dropped::BufferFull
        } else {
            state.stats.accepted += 1;
            state.stats.waiting += 1;
            state.bytes += event.len();
            state.events.push_back(event);
            if state.events.len() == 1 || state.events.len() == limits.batch_events {
                self.changed.notify_one();
            }
            return true;
        };
        *state.stats.dropped.entry(dropped).or_default() += 1;
        false
    }

    pub(crate) fn drop_one(&self, reason: Dropped) {
        *self.lock().stats.dropped.entry(reason).or_default() += 1;
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    /// Resolves when all that is waiting now has met its end; until then nothing waits for more.
    pub(crate) async fn settled(&self) {
        let mut settled = self.settled.subscribe();
        let target = {
            let mut state = self.lock();
            state.hurry_to = state.stats.accepted;
            state.hurry_to
        };
        self.changed.notify_one();
        // The sender is a field of self.
        let _ = settled.wait_for(|count| *count >= target).await;
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.failures = state.failures.min(1); // there is little time: the pauses start small again
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing will be sent any more.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        state.events.clear();
        state.bytes = 0;
        state.stats.lost += std::mem::take(&mut state.stats.waiting);
    }

    /// The next events to send, oldest first; `None` when the queue is closed and empty.
    pub(crate) async fn take(&self, flush_interval: std::time::Duration) -> Option<Vec<Vec<u8>>> {
        let mut waited = false;
        loop {
            let wait_for_more = {
                let mut state = self.lock();
                let full = state.events.len() >= self.limits.batch_events;
                let hurry = state.closed || state.stats.accepted - state.stats.waiting < state.hurry_to;
                if !state.events.is_empty() && (full || hurry || waited) {
                    return Some(self.split_batch(&mut state.events));
                }
                if state.closed {
                    return None;
                }
                !state.events.is_empty()
            };
            if wait_for_more {
                waited = tokio::time::timeout(flush_interval, self.changed.notified()).await.is_err();
            } else {
                self.changed.notified().await;
            }
        }
    }

    fn split_batch(&self, events: &mut VecDeque<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut bytes = 0;
        let fitting = events.iter().take(self.limits.batch_events).take_while(|event| {
            bytes += event.len();
            bytes <= self.limits.batch_bytes
        });
        let length = fitting.count().max(1);
        events.drain(..length).collect()
    }

    /// Counts the end of an event: in the log, or refused with a code.
    pub(crate) fn settle(&self, event: &[u8], refused: Option<String>) {
        let mut state = self.lock();
        if state.stats.waiting == 0 {
            return; // the answer came while the client was closed: counted as lost
        }
        state.bytes -= event.len();
        state.stats.waiting -= 1;
        match refused {
            None => state.stats.delivered += 1,
            Some(code) => *state.stats.rejected.entry(code).or_default() += 1,
        }
        self.settled.send_replace(state.stats.accepted - state.stats.waiting);
    }

    pub(crate) fn count_retry(&self) {
        let mut state = self.lock();
        state.stats.retries += 1;
        state.failures = state.failures.saturating_add(1);
    }

    pub(crate) fn went_well(&self) {
        self.lock().failures = 0;
    }

    /// In a row, up to now; few again after the client was closed.
    pub(crate) fn failures(&self) -> u32 {
        self.lock().failures
    }

    /// Woken by anything that happens to the queue.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_after_the_end_changes_no_count() {
        let queue = Queue::new(&Options::new("", ""));
        queue.put(b"{}".to_vec());
        queue.give_up();
        queue.settle(b"{}", None);
        assert_eq!(queue.stats(), Stats { accepted: 1, lost: 1, ..Stats::default() });
    }
}
