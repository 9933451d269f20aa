//! Writes events straight into the tables, as a projector would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use benches::load::{Load, LoadEvent};
use benches::process;
use clickhouse::{Client, Row};
use infra::database::ClickHouseConfig;
use projector::servers::Servers;
use query_api::values::Time;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::macros::datetime;
use uuid::Uuid;

const PARTITIONS: u128 = 16;
const BATCH: usize = 200_000;
/// The last part of the log is included in small passes, as while events arrive.
const TAIL: u64 = 200_000;
const PASS: u64 = 2_000;
const QUIET: Duration = Duration::from_secs(5);
const LONGEST_SETTLING: Duration = Duration::from_secs(600);

#[derive(Serialize, Row)]
struct Landing<'a> {
    targets: u8,
    partition: u16,
    offset: u64,
    verdict: i8,
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    session_id: Uuid,
    app: &'a str,
    category: &'a str,
    name: &'a str,
    data: &'a str,
    timestamp: i64,
    sent_at: Option<i64>,
    received_at: i64,
    log_time: i64,
    schema_version: u16,
    first_offset: u64,
    reasons: Vec<(String, String, String, String)>,
    reasons_total: u16,
    raw: &'a str,
    traceparent: &'a str,
}

#[derive(Deserialize)]
struct Sent<'a> {
    category: &'a str,
    name: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
    timestamp: &'a str,
}

/// Fills the tables up to `events`, prints what it took, and copies them for the peers. Events that are there already
/// are used again.
pub(crate) async fn fill(tables: &Client, servers: &Servers, server: u32, events: u64) -> anyhow::Result<()> {
    let mut ends = ends(tables).await?;
    let there: u64 = ends.values().sum();
    let mut load = Load::new(there + 1, datetime!(2026-01-01 0:00 UTC));
    let bulk = events - TAIL.min(events / 10);
    if there < bulk {
        let (began, cpu) = (Instant::now(), process::cpu(server)?);
        let mut left = (bulk - there) as usize;
        while left > 0 {
            let events: Vec<LoadEvent> = load.by_ref().take(left.min(BATCH)).collect();
            insert(tables, &mut ends, &events).await?;
            left -= events.len();
            if left > 0 && left.is_multiple_of(5 * BATCH) {
                eprintln!("{left} events to go");
            }
        }
        let per_million = (process::cpu(server)? - cpu).as_secs_f64() * 1e6 / (bulk - there) as f64;
        println!("figure query.fill.seconds {:.1} s", began.elapsed().as_secs_f64());
        println!("figure query.fill.cpu_s_per_1m {per_million:.2} s");
    }
    let (began, cpu) = (Instant::now(), process::cpu(server)?);
    let mut offsets = 0;
    loop {
        let pass = projector::keep::sequences::refresh(servers, &ends).await?;
        offsets += pass.offsets;
        if pass.behind == 0 {
            break;
        }
    }
    if offsets > 0 {
        let per_million = (process::cpu(server)? - cpu).as_secs_f64() * 1e6 / offsets as f64;
        println!("figure query.sequences.catch_up_seconds {:.1} s", began.elapsed().as_secs_f64());
        println!("figure query.sequences.catch_up_cpu_s_per_1m {per_million:.2} s");
    }
    let (began, cpu) = (Instant::now(), process::cpu(server)?);
    if projector::keep::usage::refresh(servers).await? != projector::keep::usage::Counted::Nothing {
        println!("figure query.usage.catch_up_seconds {:.1} s", began.elapsed().as_secs_f64());
        println!("figure query.usage.catch_up_cpu_s {:.1} s", (process::cpu(server)? - cpu).as_secs_f64());
    }

    // At 1,000 events a second each partition makes four inserts in two seconds, then a pass follows. The days are
    // refreshed every ten seconds.
    let (mut inserting, mut refreshing, mut counting, mut passes) = (0.0, 0.0, 0.0, 0);
    let mut left = events.saturating_sub(ends.values().sum());
    while left > 0 {
        let before = process::cpu(server)?;
        let mut events: Vec<LoadEvent> = load.by_ref().take(left.min(PASS) as usize).collect();
        events.sort_by_key(partition);
        left -= events.len() as u64;
        for chunk in events.chunk_by(|one, next| partition(one) == partition(next)) {
            for part in chunk.chunks(chunk.len().div_ceil(4)) {
                insert(tables, &mut ends, part).await?;
            }
        }
        let inserted = process::cpu(server)?;
        projector::keep::sequences::refresh(servers, &ends).await?;
        let refreshed = process::cpu(server)?;
        passes += 1;
        if passes % 5 == 0 || left == 0 {
            projector::keep::usage::refresh(servers).await?;
        }
        inserting += (inserted - before).as_secs_f64();
        refreshing += (refreshed - inserted).as_secs_f64();
        counting += (process::cpu(server)? - refreshed).as_secs_f64();
    }
    if passes > 0 {
        println!("figure query.sequences.pass_cpu_ms {:.0} ms", refreshing * 1000.0 / f64::from(passes));
        println!("figure query.sequences.cost_of_inserts {:.2} x", refreshing / inserting);
        println!("figure query.usage.cost_of_inserts {:.2} x", counting / inserting);
    }

    // The peers' table has the same events, ordered by time.
    if passes > 0 {
        tables.query("DROP TABLE IF EXISTS peer_events").execute().await?;
    }
    tables
        .query(
            "CREATE TABLE IF NOT EXISTS peer_events (session_id UUID, timestamp DateTime64(6, 'UTC'), \
             category LowCardinality(String), name LowCardinality(String), app LowCardinality(String), data String) \
             ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY (toDate(timestamp), category, name, timestamp)",
        )
        .execute()
        .await?;
    let copied: u64 = tables.query("SELECT count() FROM peer_events").fetch_one().await?;
    if copied == 0 {
        tables
            .query(
                "INSERT INTO peer_events SELECT session_id, timestamp, category, name, app, data FROM events",
            )
            .execute()
            .await?;
    }
    Ok(())
}

/// Events of a few seconds, which no pass has seen: questions add them by themselves.
pub(crate) async fn add_unseen(tables: &Client, unseen: usize) -> anyhow::Result<()> {
    let mut ends = ends(tables).await?;
    let load = Load::new(ends.values().sum::<u64>() + 2, datetime!(2026-01-01 0:00 UTC));
    insert(tables, &mut ends, &load.take(unseen).collect::<Vec<_>>()).await
}

/// The next offset of each partition.
async fn ends(tables: &Client) -> anyhow::Result<BTreeMap<u16, u64>> {
    let ledger: Vec<(u16, u64)> =
        tables.query("SELECT partition, max(offset) + 1 FROM ledger GROUP BY partition").fetch_all().await?;
    Ok(ledger.into_iter().collect())
}

/// Waits until the merges of what was filled in are over, because events that arrive one by one leave few. Then builds
/// the projections that no merge has built, as a projector would.
pub(crate) async fn settle(clickhouse: &ClickHouseConfig, tables: &Client) -> anyhow::Result<()> {
    let (began, mut quiet_since) = (Instant::now(), Instant::now());
    while quiet_since.elapsed() < QUIET && began.elapsed() < LONGEST_SETTLING {
        let merges: u64 = tables.query("SELECT count() FROM system.merges").fetch_one().await?;
        let mut busy = merges > 0;
        if !busy && quiet_since.elapsed() > QUIET / 2 {
            busy = projector::keep::parts::build(clickhouse, 1).await? > 0;
        }
        if busy {
            quiet_since = Instant::now();
        }
        tokio::time::sleep(QUIET / 10).await;
    }
    println!("figure query.settle_seconds {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn partition(event: &LoadEvent) -> u16 {
    (event.session_id.as_u128() % PARTITIONS) as u16
}

/// Inserts `events` with one statement.
async fn insert(tables: &Client, ends: &mut BTreeMap<u16, u64>, events: &[LoadEvent]) -> anyhow::Result<()> {
    let mut insert = tables.insert::<Landing<'_>>("landing").await?.with_setting("async_insert", "0");
    for event in events {
        let sent: Sent<'_> = serde_json::from_str(&event.value)?;
        let partition = partition(event);
        let end = ends.entry(partition).or_default();
        let timestamp = Time::parse(sent.timestamp).map_err(anyhow::Error::msg)?.micros();
        let row = Landing {
            targets: 3,
            partition,
            offset: *end,
            verdict: 1,
            event_id: event.event_id,
            session_id: event.session_id,
            app: ["web", "ios", "android"][(event.session_id.as_u128() >> 8) as usize % 3],
            category: sent.category,
            name: sent.name,
            data: sent.data.get(),
            timestamp,
            sent_at: None,
            received_at: timestamp,
            log_time: timestamp / 1000,
            schema_version: 1,
            first_offset: 0,
            reasons: Vec::new(),
            reasons_total: 0,
            raw: "",
            traceparent: "",
        };
        *end += 1;
        insert.write(&row).await?;
    }
    insert.end().await.context("landing")
}
