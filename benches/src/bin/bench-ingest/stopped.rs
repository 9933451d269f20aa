//! The broker stops (SIGSTOP) for eight seconds under load. Measured: how long each sender waits, how much memory the
//! gateway takes, how soon it accepts events again.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use local_stack::Kafka;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::{Gateway, KEY, process};

const SENDERS: usize = 256;
const PAUSE_AT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_secs(8);
const WHOLE: Duration = Duration::from_secs(16);

/// One request; its times count from the start.
struct Sent {
    at: Duration,
    took: Duration,
    status: u16,
    has_retry_after: bool,
}

pub(crate) async fn run(gateway: &Gateway, broker: &Kafka, events: &[String]) -> anyhow::Result<()> {
    let pid = gateway.process.pid().context("the gateway is gone")?;
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (http, url) = (http.clone(), gateway.url.clone());
        let bodies: Vec<String> =
            events.chunks(10).skip(sender * 10).take(10).map(|e| e.join("\n")).collect();
        senders.spawn(async move {
            let mut sent = Vec::new();
            while start.elapsed() < WHOLE {
                let body = bodies[sent.len() % bodies.len()].clone();
                let at = start.elapsed();
                let request = http.post(&url).bearer_auth(KEY).header("content-type", "application/x-ndjson");
                let response = request.body(body).send().await?;
                let status = response.status().as_u16();
                let has_retry_after = response.headers().contains_key("retry-after");
                response.bytes().await?;
                sent.push(Sent { at, took: start.elapsed() - at, status, has_retry_after });
                if status == 503 {
                    sleep(Duration::from_millis(200)).await;
                }
            }
            anyhow::Ok(sent)
        });
    }
    let (mut before, mut most) = (0.0, 0.0f64);
    let (mut paused, mut resumed) = (false, false);
    while start.elapsed() < WHOLE {
        let rss = process::rss_mb(pid)?;
        most = most.max(rss);
        if !paused && start.elapsed() >= PAUSE_AT {
            (paused, before) = (true, rss);
            broker.process.pause();
        }
        if !resumed && start.elapsed() >= PAUSE_AT + PAUSE {
            resumed = true;
            broker.process.resume();
        }
        sleep(Duration::from_millis(50)).await;
    }
    let mut sent = Vec::new();
    while let Some(of_one) = senders.join_next().await {
        sent.extend(of_one??);
    }
    let refused = sent.iter().filter(|request| request.status == 503).count();
    ensure!(sent.iter().all(|r| matches!(r.status, 202 | 503)), "an answer that is neither 202 nor 503");
    ensure!(sent.iter().all(|r| r.status != 503 || r.has_retry_after), "a 503 without Retry-After");
    let longest = sent.iter().map(|request| request.took).max().context("nothing was sent")?;
    let resumed = PAUSE_AT + PAUSE;
    let back =
        sent.iter().filter(|r| r.status == 202 && r.at + r.took > resumed).map(|r| r.at + r.took - resumed);
    let recovery = back.min().context("no 202 after the broker went on")?;
    let late = sent.iter().filter(|r| r.status == 503).map(|r| (r.at + r.took).saturating_sub(resumed)).max();
    println!(
        "stopped: {} requests, {refused} of them 503, the longest took {:.2} s; memory {before:.0} -> {most:.0} MB; \
         first 202 {:.2} s after the broker went on, last 503 {:.2} s after it",
        sent.len(),
        longest.as_secs_f64(),
        recovery.as_secs_f64(),
        late.unwrap_or_default().as_secs_f64()
    );
    println!("figure ingest.stopped.longest_wait_s {:.2} s", longest.as_secs_f64());
    println!("figure ingest.stopped.recovery_s {:.2} s", recovery.as_secs_f64());
    println!("figure ingest.stopped.rss_before_mb {before:.0} MB");
    println!("figure ingest.stopped.rss_most_mb {most:.0} MB");
    Ok(())
}
