//! Tests that the second look builds what the first one leaves.

use clap::Parser;
use infra::database::ClickHouseConfig;
use local_stack::{ClickHouseAlone, StackOptions};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    clickhouse: ClickHouseConfig,
}

async fn insert(database: &Database, offset: u64) {
    let sql = format!("INSERT INTO {}.ledger (partition, offset) VALUES (0, {offset})", database.name);
    database.client.query(&sql).execute().await.unwrap();
}

async fn bare(database: &Database) -> usize {
    bare_parts(database, "ledger").await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_parts_that_two_looks_find_are_built() {
    let engine = ClickHouseAlone::start(StackOptions::default()).await.expect("the engine starts");
    let line = ["it".into()].into_iter().chain(engine.arguments("writer"));
    let clickhouse = Line::parse_from(line).clickhouse;
    tables::migrate(&clickhouse, 1).await.unwrap();
    let database = Database::new(&clickhouse, 1, "");
    let (table, mutation) = PROJECTIONS[0];
    let mut before = BTreeSet::new();
    insert(&database, 0).await;
    build_old(&database, table, mutation, &mut before).await.unwrap();
    assert_eq!(bare(&database).await, 1, "its first merge may come yet");

    // As an erasure does.
    database.alter(table, "UPDATE schema_version = 7 WHERE 1").await.unwrap();
    assert_eq!(bare(&database).await, 1);
    build_old(&database, table, mutation, &mut before).await.unwrap();
    assert_eq!(bare(&database).await, 0);

    // While a mutation can't finish, no other one is started.
    insert(&database, 1).await;
    let stuck = format!(
        "ALTER TABLE {}.rejections UPDATE raw = throwIf(1) WHERE 1 SETTINGS mutations_sync = 0",
        database.name
    );
    let row = format!("INSERT INTO {}.rejections (partition, offset) VALUES (0, 1)", database.name);
    database.client.query(&row).execute().await.unwrap();
    database.client.query(&stuck).execute().await.unwrap();
    for _ in 0..3 {
        build_old(&database, table, mutation, &mut before).await.unwrap();
    }
    assert_eq!((bare(&database).await, database.mutations().await.unwrap()), (1, 1));
    let end = format!("DROP TABLE {}.rejections SYNC", database.name);
    database.client.query(&end).execute().await.unwrap();
    build_old(&database, table, mutation, &mut before).await.unwrap();
    assert_eq!(bare(&database).await, 0);
}
