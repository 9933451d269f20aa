//! The demo data: a shop's clickstream, and a handful of wrong events so that rejections show something.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use flate2::read::GzDecoder;
use indicatif::ProgressBar;
use serde::Deserialize;

const EVENTS: &[u8] = include_bytes!("../data/ecom/events-ecom.ndjson.gz");
const WRONG: &str = include_str!("../data/wrong-events.ndjson");
/// Events in a request: some hundred kilobytes, well under every limit.
const BATCH: usize = 500;
/// Codes of receipts that ask for the event again.
const AGAIN: [&str; 3] = ["queue_full", "brokers_slow", "brokers_refused"];
/// How often an event is sent before the replay gives up.
const ATTEMPTS: u32 = 20;

/// The valid events, one a line, in arrival order.
pub fn events() -> Vec<String> {
    let lines = BufReader::new(GzDecoder::new(EVENTS)).lines();
    lines.collect::<Result<_, _>>().expect("the demo data is gzip of UTF-8")
}

/// Events that a gateway takes and a judge refuses, one a line.
pub fn wrong_events() -> Vec<String> {
    WRONG.lines().map(String::from).collect()
}

#[derive(Debug, Clone, Deserialize)]
pub struct Receipt {
    pub event_id: Option<uuid::Uuid>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub struct Receipts {
    pub receipts: Vec<Receipt>,
}

/// Sends events as NDJSON and returns a receipt for each. Sequential, because the order of arrival
/// decides between events with equal times. A gateway that is full is asked again when it says.
///
/// # Errors
/// The gateway out of reach, full for long, or an answer other than 202.
pub async fn send(ingest_url: &str, key: &str, events: &[String]) -> anyhow::Result<Vec<Receipt>> {
    let client = reqwest::Client::new();
    let mut attempt = 1;
    loop {
        let response = client
            .post(format!("{ingest_url}/events"))
            .bearer_auth(key)
            .header("content-type", "application/x-ndjson")
            .body(events.join("\n"))
            .send()
            .await
            .with_context(|| format!("no answer from {ingest_url}"))?;
        let status = response.status();
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        if let (503, Some(seconds)) = (status.as_u16(), retry_after)
            && attempt < ATTEMPTS
        {
            attempt += 1;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            continue;
        }
        let body = response.text().await?;
        ensure!(status == 202, "{ingest_url}/events answered {status}: {body}");
        let receipts: Receipts = serde_json::from_str(&body)?;
        ensure!(
            receipts.receipts.len() == events.len(),
            "{} receipts for {} events",
            receipts.receipts.len(),
            events.len()
        );
        return Ok(receipts.receipts);
    }
}

/// Replays the demo data once for a data directory: how many events have been acknowledged is kept in
/// `progress`, so that an interrupted replay continues and a second run sends nothing. (A batch whose
/// acknowledgement was not noted is sent again; its event ids make it a duplicate.) Returns the last
/// offset of each partition that this call wrote to.
///
/// # Errors
/// The gateway out of reach, or a progress file that is not ours.
pub async fn replay(
    ingest_url: &str,
    key: &str,
    progress: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<BTreeMap<i32, i64>> {
    let mut events = events();
    events.extend(wrong_events());
    let done: usize = match std::fs::read_to_string(progress) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} is not a number", progress.display()))?,
        Err(_) => 0,
    };
    bar.set_length(events.len() as u64);
    bar.set_position(done as u64);
    let mut sent = done;
    let mut last = BTreeMap::new();
    for batch in events[done.min(events.len())..].chunks(BATCH) {
        // An event that found no room or no broker in time is sent again, with the same id, as its receipt asks.
        let mut owed = batch.to_vec();
        for attempt in 1.. {
            let receipts = send(ingest_url, key, &owed).await?;
            let mut again = Vec::new();
            for (event, receipt) in owed.into_iter().zip(receipts) {
                if let (Some(partition), Some(offset)) = (receipt.partition, receipt.offset) {
                    last.insert(partition, offset);
                } else if receipt
                    .error
                    .as_ref()
                    .is_some_and(|error| AGAIN.iter().any(|code| error["code"] == *code))
                {
                    again.push(event);
                }
            }
            if again.is_empty() {
                break;
            }
            ensure!(
                attempt < ATTEMPTS,
                "{} events were refused {ATTEMPTS} times: are the brokers up?",
                again.len()
            );
            owed = again;
        }
        sent += batch.len();
        std::fs::write(progress, sent.to_string())?;
        bar.set_position(sent as u64);
    }
    Ok(last)
}
