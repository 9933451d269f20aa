//! Parts without projections.

use std::time::Duration;

use clickhouse::Client;
use projector::parts;

use crate::bed::Bed;

async fn insert(tables: &Client, offset: u64) {
    let sql = "INSERT INTO events (session_id, timestamp, partition, offset) VALUES (generateUUIDv4(), 0, 0, {offset:UInt64})";
    tables.query(sql).param("offset", offset).execute().await.unwrap();
}

/// Rows of each part of `events`, and whether it has its two projections.
async fn parts(tables: &Client) -> Vec<(u64, bool)> {
    let sql = "SELECT rows, length(projections) = 2 FROM system.parts \
               WHERE active AND database = currentDatabase() AND table = 'events' ORDER BY min_block_number";
    tables.query(sql).fetch_all().await.unwrap()
}

/// All of a table's parts become one, as far as the engine can.
async fn merge(tables: &Client) {
    tables.query("OPTIMIZE TABLE events FINAL").execute().await.unwrap();
}

/// The trap is ClickHouse's: a part that missed the first merge keeps its neighbours apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_no_merge_reaches_gets_its_projections_and_is_merged_again() {
    let bed = Bed::new(&[]).await;
    let tables = bed.tables();
    insert(&tables, 0).await;
    assert_eq!(parts(&tables).await, [(1, false)]);
    merge(&tables).await;
    assert_eq!(parts(&tables).await, [(1, true)]);
    insert(&tables, 1).await;
    let merged = tables.query("OPTIMIZE TABLE events FINAL").execute().await;
    assert_eq!(parts(&tables).await, [(1, true), (1, false)], "{merged:?}");

    let old = Duration::from_secs(3600);
    assert_eq!(
        parts::build(&bed.config.clickhouse, 1, old).await.unwrap(),
        0,
        "young parts are left to merges"
    );
    assert_eq!(parts::build(&bed.config.clickhouse, 1, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(parts(&tables).await, [(1, true), (1, true)]);
    assert_eq!(parts::build(&bed.config.clickhouse, 1, Duration::ZERO).await.unwrap(), 0);
    merge(&tables).await;
    assert_eq!(parts(&tables).await, [(2, true)]);
    let found: Vec<u64> = tables
        .query("SELECT offset FROM events WHERE partition = 0 ORDER BY offset")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(found, [0, 1]);
}
