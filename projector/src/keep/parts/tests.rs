//! What one look leaves, and the next one does.

use clap::Parser;
use infra::database::ClickHouseConfig;
use local_stack::{ClickHouseAlone, StackOptions};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    clickhouse: ClickHouseConfig,
}

async fn insert(tables: &Tables, offset: u64) {
    let sql = format!("INSERT INTO {}.ledger (partition, offset) VALUES (0, {offset})", tables.database);
    tables.client().query(&sql).execute().await.unwrap();
}

async fn bare(tables: &Tables) -> usize {
    tables.bare_parts("ledger").await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_parts_that_two_looks_find_are_built_and_no_mutation_makes_them_young() {
    let engine = ClickHouseAlone::start(StackOptions::default()).await.expect("the engine starts");
    let line = ["it".into()].into_iter().chain(engine.arguments("writer"));
    let clickhouse = Line::parse_from(line).clickhouse;
    ::tables::migrate(&clickhouse, 1).await.unwrap();
    let tables = Tables::new(&clickhouse, 1, "");
    let (table, mutation) = PROJECTIONS[0];
    let mut before = BTreeSet::new();
    insert(&tables, 0).await;
    build_old(&tables, table, mutation, &mut before).await.unwrap();
    assert_eq!(bare(&tables).await, 1, "its first merge may come yet");

    // As an erasure does.
    tables.alter(table, "UPDATE schema_version = 7 WHERE 1").await.unwrap();
    assert_eq!(bare(&tables).await, 1);
    build_old(&tables, table, mutation, &mut before).await.unwrap();
    assert_eq!(bare(&tables).await, 0);

    // While a mutation can't end, no further one is sent.
    insert(&tables, 1).await;
    let stuck = format!(
        "ALTER TABLE {}.rejections UPDATE raw = throwIf(1) WHERE 1 SETTINGS mutations_sync = 0",
        tables.database
    );
    let row = format!("INSERT INTO {}.rejections (partition, offset) VALUES (0, 1)", tables.database);
    tables.client().query(&row).execute().await.unwrap();
    tables.client().query(&stuck).execute().await.unwrap();
    for _ in 0..3 {
        build_old(&tables, table, mutation, &mut before).await.unwrap();
    }
    assert_eq!((bare(&tables).await, tables.mutations().await.unwrap()), (1, 1));
    let end = format!("DROP TABLE {}.rejections SYNC", tables.database);
    tables.client().query(&end).execute().await.unwrap();
    build_old(&tables, table, mutation, &mut before).await.unwrap();
    assert_eq!(bare(&tables).await, 0);
}
