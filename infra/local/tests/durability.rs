//! `kill -9` during inserts, again and again: what was acknowledged stays, what is retried under the same
//! token comes once, and the server starts without help.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{Server, server};

const ROWS: u64 = 2_000;
const WRITERS: u64 = 3;

/// How often the server is killed: `EYE_KILLS`, 10 if it is not set.
fn kills() -> u64 {
    std::env::var("EYE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_dash_nine_loses_nothing_and_doubles_nothing() {
    let server = Arc::new(server().await);
    // Merges and two table partitions make it harder.
    server
        .sql(
            "CREATE TABLE t (chunk UInt64, n UInt64, text String) ENGINE = MergeTree ORDER BY (chunk, n) \
             SETTINGS non_replicated_deduplication_window = 10000",
        )
        .await;
    let done = Arc::new(AtomicBool::new(false));
    let attempts = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            tokio::spawn(write(Arc::clone(&server), writer, Arc::clone(&done), Arc::clone(&attempts)))
        })
        .collect();
    let mut moment = 7_u64;
    for _ in 0..kills() {
        // At least one insert is under way, then a moment that differs each time.
        let before = attempts.load(Ordering::SeqCst);
        while attempts.load(Ordering::SeqCst) < before + WRITERS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_micros((moment >> 33) % 40_000)).await;
        server.stack.process.kill().await;
        server.stack.process.start();
        server.stack.process.ready(Duration::from_secs(60)).await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let mut acknowledged = HashSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(acknowledged.len() as u64 >= kills(), "too few inserts to mean anything: {}", acknowledged.len());
    let wrong = server
        .sql(&format!(
            "SELECT count() FROM (SELECT chunk FROM t GROUP BY chunk HAVING count() != {ROWS} OR uniqExact(n) != {ROWS})"
        ))
        .await;
    assert_eq!(wrong, "0", "torn or doubled chunks");
    let present = server.sql("SELECT DISTINCT chunk FROM t").await;
    let present: HashSet<u64> = present.lines().map(|line| line.parse().unwrap()).collect();
    let lost: Vec<_> = acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    println!("{} kills, {} chunks acknowledged", kills(), acknowledged.len());
}

/// Inserts chunk after chunk, each until it is acknowledged.
async fn write(
    server: Arc<Server>,
    writer: u64,
    done: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let mut chunk = writer;
    while !done.load(Ordering::SeqCst) {
        let token = format!("chunk-{chunk}");
        let rows: String = (0..ROWS).map(|n| format!("{chunk}\t{n}\tsome text of row {n}\n")).collect();
        loop {
            attempts.fetch_add(1, Ordering::SeqCst);
            let parameters = [
                ("query", "INSERT INTO t FORMAT TSV"),
                ("async_insert", "0"),
                ("insert_deduplication_token", &token),
                ("query_id", &token),
            ];
            match server.post(&parameters, rows.clone()).send().await {
                Ok(response) if response.status() == 200 => break,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        acknowledged.push(chunk);
        chunk += WRITERS;
    }
    acknowledged
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_while_statements_run() {
    let server = server().await;
    server.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    server.sql("INSERT INTO t SELECT number FROM numbers(1000)").await;
    let endless =
        server.post(&[], "SELECT sum(sleepEachRow(0.1)) FROM numbers(3000) SETTINGS max_block_size = 1");
    let endless = tokio::spawn(endless.send());
    crate::support::eventually("the statement runs", || async { server.running("sleepEachRow").await == 1 })
        .await;
    let started = std::time::Instant::now();
    server.stack.process.stop().await;
    assert!(started.elapsed() < Duration::from_secs(15), "it needed {:?}", started.elapsed());
    let log = std::fs::read_to_string(server.stack.process.log()).unwrap();
    assert!(!log.contains("panicked") && !log.contains("Fatal"), "{log}");
    assert!(endless.await.unwrap().is_err());
    server.stack.process.start();
    server.stack.process.ready(Duration::from_secs(60)).await.unwrap();
    assert_eq!(server.sql("SELECT count() FROM t").await, "1000");
}

#[tokio::test]
async fn an_insert_is_one_block_and_its_token_is_honoured() {
    let server = server().await;
    server
        .sql("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100")
        .await;
    let rows: String = (0..200_000).map(|n| format!("{n}\tsome text that makes the row longer\n")).collect();
    for (token, expected) in [("one", "200000\t1"), ("one", "200000\t1"), ("two", "400000\t2")] {
        let parameters = [
            ("query", "INSERT INTO t FORMAT TSV"),
            ("async_insert", "0"),
            ("max_insert_block_size", "1048449"),
            ("min_insert_block_size_rows", "1048449"),
            ("insert_deduplication_token", token),
        ];
        let response = server.post(&parameters, rows.clone()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let found = server
            .sql("SELECT (SELECT count() FROM t), uniqExact(min_block_number, max_block_number) FROM system.parts WHERE table = 't' AND active AND level = 0")
            .await;
        assert_eq!(found, expected, "{token}");
    }
}
