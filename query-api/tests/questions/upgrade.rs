//! Tables of an earlier version, with large parts, become those of today; before that nothing reads them.

use clap::Parser;
use infra::database::{self, OtherVersion};
use query_api::{Config, Service};
use uuid::Uuid;

use crate::world::engine;

#[tokio::test(flavor = "multi_thread")]
async fn large_parts_of_the_first_version_are_migrated() {
    let name = format!("q{}", Uuid::new_v4().simple());
    let url = engine().await.url();
    let config = Config::parse_from(["query-api", "--clickhouse-url", &url, "--clickhouse-database", &name])
        .clickhouse;
    database::migrate_to(&config, 1, 12).await.unwrap();
    let tables = config.client().with_database(config.generation(1)).with_validation(false);
    let execute = async |sql: &str| tables.query(sql).execute().await.unwrap();
    for half in 0..2 {
        execute(&format!(
            "INSERT INTO ledger (partition, offset, verdict, event_id) \
             SELECT 0, number + {half} * 600000, 'accepted', generateUUIDv4() FROM numbers(600000)"
        ))
        .await;
    }
    execute(
        "INSERT INTO events (session_id, timestamp, offset, category, name) \
         SELECT generateUUIDv4(), '2026-01-01', number, 'a', 'b' FROM numbers(1000)",
    )
    .await;
    // A merge is what makes large parts, and statistics beside their columns.
    execute("OPTIMIZE TABLE ledger FINAL").await;
    let kind = "SELECT toString(any(part_type)) FROM system.parts WHERE database = currentDatabase() AND table = 'ledger' AND active";
    assert_eq!(tables.query(kind).fetch_one::<String>().await.unwrap(), "Wide");

    database::migrate(&config, 1).await.unwrap();
    database::check_version(&config, 1).await.unwrap();
    database::serve(&config, 1).await.unwrap();
    let number = async |sql: &str| tables.query(sql).fetch_one::<u64>().await.unwrap();
    assert_eq!(number("SELECT count() FROM ledger WHERE verdict = 'accepted'").await, 1_200_000);
    let built = |table: &str, projection: &str| {
        format!(
            "SELECT count() FROM system.projection_parts WHERE database = currentDatabase() \
             AND table = '{table}' AND name = '{projection}' AND active"
        )
    };
    for (table, projection) in [("ledger", "positions"), ("ledger", "by_event"), ("events", "listed")] {
        while number(&built(table, projection)).await == 0 {
            let failed = number(
                "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND latest_fail_reason != ''",
            );
            assert_eq!(failed.await, 0, "{table}.{projection}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    // The tables take the change of a row that erasure makes.
    execute("ALTER TABLE ledger UPDATE verdict = 'erased' WHERE offset = 7 SETTINGS mutations_sync = 1")
        .await;
    assert_eq!(number("SELECT count() FROM ledger WHERE verdict = 'erased'").await, 1);
}

/// Only what no waiting mends ends a service: tables that it was not built for.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_clickhouse_and_ends_at_other_tables() {
    let name = format!("q{}", Uuid::new_v4().simple());
    let config = |url: &str| {
        Config::parse_from(["query-api", "--clickhouse-url", url, "--clickhouse-database", &name])
    };
    let engine = config(&engine().await.url());
    let nobody = config("http://127.0.0.1:1");
    Service::connect(nobody.clone()).await.unwrap();
    let silent = database::check_version(&nobody.clickhouse, 1).await.unwrap_err();
    assert!(!silent.is::<OtherVersion>(), "{silent:#}");

    let missing = database::check_version(&engine.clickhouse, 1).await.unwrap_err();
    assert!(missing.is::<OtherVersion>() && missing.to_string().contains("no tables yet"), "{missing:#}");
    Service::connect(engine.clone()).await.unwrap();

    let before = database::latest_version() - 1;
    database::migrate_to(&engine.clickhouse, 1, before).await.unwrap();
    database::serve(&engine.clickhouse, 1).await.unwrap();
    let old = Service::connect(engine).await.unwrap_err();
    assert!(
        old.is::<OtherVersion>() && old.to_string().contains(&format!("is at version {before}")),
        "{old:#}"
    );
}
