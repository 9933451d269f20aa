//! The task that sends: one request at a time, so that a session's events arrive in the order they were
//! tracked.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Options;
use crate::answer::{Fate, fates, retry_after};
use crate::queue::Queue;

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

pub(crate) async fn run(queue: Arc<Queue>, options: Options) {
    let url = format!("{}/events", options.url.trim_end_matches('/'));
    let http = reqwest::Client::new();
    while let Some(batch) = queue.take(options.flush_interval).await {
        // Last in, first out: the halves of a batch that was too large keep its order.
        let mut chunks = vec![batch];
        while let Some(chunk) = chunks.pop() {
            let request = http.post(&url).bearer_auth(&options.key).timeout(options.timeout);
            let request = request.header(CONTENT_TYPE, "application/x-ndjson").body(body(&chunk));
            let (result, wait) = match answer(request, chunk.len()).await {
                Ok((413, _, _)) if chunk.len() > 1 => {
                    let mut first = chunk;
                    chunks.push(first.split_off(first.len() / 2));
                    chunks.push(first);
                    continue;
                }
                Ok((_, result, wait)) => (result, wait),
                // No answer, or half of one.
                Err(_) => (vec![Fate::Again; chunk.len()], Duration::ZERO),
            };
            let mut again = Vec::new();
            for (event, fate) in chunk.into_iter().zip(result) {
                match fate {
                    Fate::Delivered => queue.settle(&event, None),
                    Fate::Refused(code) => queue.settle(&event, Some(code)),
                    Fate::Again => again.push(event),
                }
            }
            if again.is_empty() {
                queue.went_well();
            } else {
                chunks.push(again);
                queue.count_retry();
                pause(&queue, wait).await;
            }
        }
    }
}

async fn answer(
    request: reqwest::RequestBuilder,
    count: usize,
) -> reqwest::Result<(u16, Vec<Fate>, Duration)> {
    let response = request.send().await?;
    let (status, wait) = (response.status().as_u16(), retry_after(response.headers()));
    Ok((status, fates(status, &response.bytes().await?, count), wait))
}

/// NDJSON, with the time of this attempt in each event.
fn body(events: &[Vec<u8>]) -> Vec<u8> {
    let sent_at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let end = format!(",\"sent_at\":\"{sent_at}\"}}\n");
    let mut body = Vec::with_capacity(events.iter().map(|event| event.len() + end.len()).sum());
    for event in events {
        // Each event is an object that serde_json has written.
        body.extend_from_slice(event.strip_suffix(b"}").unwrap_or(event));
        body.extend_from_slice(end.as_bytes());
    }
    body
}

/// Waits before the next try: exponentially longer, with jitter, but not less than the gateway asks.
async fn pause(queue: &Queue, asked: Duration) {
    // An id is as random as a number, and already at hand.
    let random = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    let asked = asked.mul_f64(1.0 + random / 10.0);
    let begin = Instant::now();
    loop {
        let doubled = FIRST_BACKOFF * 2_u32.pow(queue.failures().saturating_sub(1).min(16));
        let backoff = doubled.min(MAX_BACKOFF).mul_f64(0.5 + random / 2.0);
        tokio::select! {
            () = tokio::time::sleep_until(begin + backoff.max(asked)) => return,
            () = queue.changed() => {} // it may have been closed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(queue: &Queue, asked: Duration) -> Duration {
        let begin = Instant::now();
        queue.count_retry();
        pause(queue, asked).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_grow_rarer_whatever_the_gateway_asks() {
        for seconds in [0, 7] {
            let (queue, asked) = (Queue::new(&Options::new("", "")), Duration::from_secs(seconds));
            for failures in 0..20 {
                let least = MAX_BACKOFF.min(FIRST_BACKOFF * 2_u32.pow(failures.min(16))) / 2;
                let wait = waited(&queue, asked).await;
                assert!(wait >= asked.max(least) && wait <= asked.max(2 * least).mul_f64(1.11), "{wait:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_repeats_come_soon_again_and_grow_anew() {
        let queue = Queue::new(&Options::new("", ""));
        for _ in 0..9 {
            waited(&queue, Duration::ZERO).await;
        }
        let (cut_short, ()) = tokio::join!(waited(&queue, Duration::ZERO), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            queue.close();
        });
        assert!(cut_short < Duration::from_millis(1100), "{cut_short:?}");
        assert!(waited(&queue, Duration::ZERO).await < Duration::from_millis(500));
        for _ in 0..4 {
            waited(&queue, Duration::ZERO).await;
        }
        assert!(waited(&queue, Duration::ZERO).await > Duration::from_secs(3));
    }
}
