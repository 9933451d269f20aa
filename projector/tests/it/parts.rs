//! Tests that parts without projections get them.

use clickhouse::Client;
use projector::keep::parts;

use crate::bed::Bed;

async fn insert(tables: &Client, offset: u64) {
    let sql = "INSERT INTO events (session_id, timestamp, partition, offset) VALUES (generateUUIDv4(), 0, 0, {offset:UInt64})";
    tables.query(sql).param("offset", offset).execute().await.unwrap();
}

/// The rows of each part of `events`, and whether it has its two projections.
async fn parts(tables: &Client) -> Vec<(u64, bool)> {
    let sql = "SELECT rows, length(projections) = 2 FROM system.parts \
               WHERE active AND database = currentDatabase() AND table = 'events' ORDER BY min_block_number";
    tables.query(sql).fetch_all().await.unwrap()
}

/// Merges all parts of `events`, as far as ClickHouse can.
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

    assert_eq!(parts::build(&bed.config.clickhouse, 1).await.unwrap(), 1);
    assert_eq!(parts(&tables).await, [(1, true), (1, true)]);
    assert_eq!(parts::build(&bed.config.clickhouse, 1).await.unwrap(), 0);
    merge(&tables).await;
    assert_eq!(parts(&tables).await, [(2, true)]);
    let found: Vec<u64> = tables
        .query("SELECT offset FROM events WHERE partition = 0 ORDER BY offset")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(found, [0, 1]);
}

/// An erasure may change verdicts, by which a projection counts, while the projection is built.
#[tokio::test(flavor = "multi_thread")]
async fn projections_that_are_built_while_rows_change_agree_with_the_rows() {
    let bed = Bed::new(&[]).await;
    let tables = bed.tables();
    let execute = async |sql: &str| tables.query(sql).execute().await.unwrap();
    let rows = "INSERT INTO ledger (partition, offset, verdict, event_id) \
                SELECT 0, {from} + number, 'accepted', generateUUIDv4() FROM numbers(100)";
    execute(&rows.replace("{from}", "0")).await;
    execute("OPTIMIZE TABLE ledger FINAL").await;
    execute(&rows.replace("{from}", "100")).await;
    let erase = |offset: u32| {
        format!(
            "ALTER TABLE ledger UPDATE verdict = 'erased' WHERE offset % 100 = {offset} SETTINGS mutations_sync = 0"
        )
    };
    execute(&erase(1)).await;
    let (built, ()) =
        tokio::join!(parts::build(&bed.config.clickhouse, 1), async { execute(&erase(2)).await });
    assert_eq!(built.unwrap(), 1);
    execute(&erase(3).replace("mutations_sync = 0", "mutations_sync = 1")).await;

    let counts = async |settings: &str| {
        let sql = format!(
            "SELECT toString(verdict), count(), min(offset), sum(offset) FROM ledger GROUP BY verdict ORDER BY verdict {settings}"
        );
        tables.query(&sql).fetch_all::<(String, u64, u64, u64)>().await.unwrap()
    };
    let by_rows = counts("SETTINGS optimize_use_projections = 0").await;
    assert_eq!(by_rows[1], ("erased".to_owned(), 6, 1, 312));
    let by_projection =
        counts("SETTINGS force_optimize_projection_name = 'positions', force_optimize_projection = 1").await;
    assert_eq!(by_projection, by_rows);
    let bare = "SELECT countIf(empty(projections)) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'ledger'";
    assert_eq!(tables.query(bare).fetch_one::<u64>().await.unwrap(), 0);
}
