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
        let mut failures = 0;
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
                Err(_) => (vec![Fate::Again; chunk.len()], None),
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
                failures = 0;
            } else {
                chunks.push(again);
                queue.count_retry();
                pause(&queue, failures, wait).await;
                failures += 1;
            }
        }
    }
}

async fn answer(
    request: reqwest::RequestBuilder,
    count: usize,
) -> reqwest::Result<(u16, Vec<Fate>, Option<Duration>)> {
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

/// Waits before the next try: as the gateway asks, else exponentially longer, with jitter; not long any
/// more when the client closes.
async fn pause(queue: &Queue, failures: u32, asked: Option<Duration>) {
    // An id is as random as a number, and already at hand.
    let random = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    if let Some(wait) = asked {
        return tokio::time::sleep(wait + Duration::from_millis(100).mul_f64(random)).await;
    }
    let backoff = MAX_BACKOFF.min(FIRST_BACKOFF * 2_u32.pow(failures.min(16))).mul_f64(0.5 + random / 2.0);
    let begin = Instant::now();
    loop {
        let wait = if queue.is_closed() { backoff.min(FIRST_BACKOFF) } else { backoff };
        tokio::select! {
            () = tokio::time::sleep_until(begin + wait) => return,
            () = queue.changed() => {}
        }
    }
}
