//! ClickHouse may lose anything: the log brings it back.

use std::path::Path;

use tempfile::TempDir;

use crate::bed::{Bed, event, eventually};

/// A bed with forty records, accepted, rejected and duplicate, that are projected and settled.
async fn projected() -> Bed {
    let bed = Bed::new(&["--chunk-rows", "10"]).await;
    let id = uuid::Uuid::new_v4();
    for n in 0..40 {
        match n % 4 {
            0 => bed.send(b"{").await,
            1 => bed.send(event(id).as_bytes()).await,
            _ => bed.send(event(uuid::Uuid::new_v4()).as_bytes()).await,
        };
    }
    let running = bed.projector().await;
    bed.settled(40).await;
    running.stop().await;
    assert_eq!(bed.counts().await, [(40, 40), (21, 21), (10, 10)]);
    bed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_and_heals_lost_and_doubled_rows() {
    let bed = projected().await;
    let (clean, said) = bed.verb(&["audit"]).await;
    assert!(clean && said.contains("40 offsets, each has one verdict"), "{said}");

    bed.execute("ALTER TABLE ledger DELETE WHERE offset BETWEEN 12 AND 17").await;
    bed.execute("ALTER TABLE events DELETE WHERE offset IN (2, 3, 30)").await;
    bed.execute("ALTER TABLE rejections DELETE WHERE offset = 8").await;
    bed.execute("INSERT INTO rejections SELECT * FROM rejections WHERE offset = 20").await;
    bed.execute("INSERT INTO ledger SELECT * FROM ledger WHERE offset = 25").await;
    let (clean, said) = bed.verb(&["audit"]).await;
    assert!(!clean);
    // One of the offsets 12 to 17 is rejected and four are accepted: their rows are surplus without a verdict.
    let found = "6 without verdict, 2 doubled, 3 events and 1 rejections missing";
    assert!(said.contains(found), "{said}");

    let (clean, said) = bed.verb(&["audit", "--heal"]).await;
    assert!(clean && said.contains("; 0 after healing"), "{said}");
    assert_eq!(bed.counts().await, [(40, 40), (21, 21), (10, 10)]);
    assert!(bed.verb(&["audit"]).await.0);
}

fn write_version(types: &Path, version: u16, more: &str) {
    let schema = format!(r#"{{"x-category":"a","x-name":"b","x-version":{version},"type":"object"{more}}}"#);
    std::fs::write(types.join(format!("v{version}.schema.json")), schema).unwrap();
}

/// The tables of [`judged_before`]: ten events and ten rejected records in turn.
const JUDGED: [(u64, u64); 3] = [(20, 20), (10, 10), (10, 10)];

/// A bed with the tables [`JUDGED`], by version 1 of a type. Today's version 2 would accept none of the events.
async fn judged_before() -> (TempDir, Bed) {
    let types = tempfile::tempdir().unwrap();
    write_version(types.path(), 1, "");
    let folder = types.path().to_str().unwrap();
    let bed = Bed::new(&["--event-types", folder, "--chunk-rows", "10"]).await;
    for n in 0..20 {
        let event = event(uuid::Uuid::new_v4()).replace("page interaction", "a").replace("pageview", "b");
        let data = if n % 2 == 0 { "{}" } else { "[]" };
        bed.send(event.replace(r#"{"host":"www.example.com","path":"/"}"#, data).as_bytes()).await;
    }
    let running = bed.projector().await;
    bed.settled(20).await;
    running.stop().await;
    assert_eq!(bed.counts().await, JUDGED);
    write_version(types.path(), 2, r#","required":["c"]"#);
    (types, bed)
}

/// The ledger's verdict and version of each offset.
async fn ledger(bed: &Bed) -> Vec<(u64, String, u16)> {
    let sql = "SELECT offset, toString(verdict), schema_version FROM ledger ORDER BY offset";
    bed.tables().query(sql).fetch_all().await.unwrap()
}

/// Schemas and applications change. An offset that was judged keeps its verdict, whatever is healed.
#[tokio::test(flavor = "multi_thread")]
async fn healing_judges_by_the_rules_that_judged_before() {
    let (types, bed) = judged_before().await;
    let judged = JUDGED;
    let heal = ["audit", "--heal", "--event-types", types.path().to_str().unwrap()];
    bed.execute("ALTER TABLE events DELETE WHERE offset IN (2, 14)").await;
    bed.execute("ALTER TABLE rejections DELETE WHERE offset = 3").await;
    bed.execute("ALTER TABLE ledger DELETE WHERE offset = 7").await;
    bed.execute("ALTER TABLE rejections DELETE WHERE offset = 7").await;
    let (clean, said) = bed.verb(&heal).await;
    assert!(clean && !said.contains("another verdict"), "{said}");
    assert_eq!(bed.counts().await, judged);
    let versions: Vec<(u16, u64)> = bed
        .tables()
        .query("SELECT schema_version, count() FROM events GROUP BY 1")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(versions, [(1, 10)]);

    // A projector that finds an open intent does the same.
    bed.execute("ALTER TABLE events DELETE WHERE offset IN (10, 12)").await;
    bed.execute("ALTER TABLE ledger DELETE WHERE offset >= 18").await;
    bed.execute("ALTER TABLE events DELETE WHERE offset >= 18").await;
    bed.execute("ALTER TABLE rejections DELETE WHERE offset >= 18").await;
    crate::zombies::commit(&bed, 10, "1:20").await;
    let running = bed.projector().await;
    bed.settled(20).await;
    running.stop().await;
    // An offset that has lost its verdict is judged by today's rules: 18 is rejected.
    let judged = [(20, 20), (9, 9), (11, 11)];
    assert_eq!(bed.counts().await, judged);

    // The version that judged is gone: the audit reports what it does not heal.
    std::fs::remove_file(types.path().join("v1.schema.json")).unwrap();
    bed.execute("ALTER TABLE events DELETE WHERE offset = 4").await;
    let (clean, said) = bed.verb(&heal).await;
    assert!(!clean && said.contains("offsets would get another verdict today and keep theirs"), "{said}");
    assert!(said.contains("0 without verdict, 0 doubled, 1 events and 0 rejections missing"), "{said}");
    assert_eq!(bed.counts().await, [(20, 20), (8, 8), (11, 11)]);

    // A kept offset has one row in each table, and the ledger agrees with the others.
    let before = ledger(&bed).await;
    for table in ["ledger", "events"] {
        bed.execute(&format!("INSERT INTO {table} SELECT * FROM {table} WHERE offset IN (6, 8)")).await;
        bed.execute(&format!("INSERT INTO {table} SELECT * FROM {table} WHERE offset = 6 LIMIT 1")).await;
    }
    bed.execute("ALTER TABLE ledger DELETE WHERE offset IN (10, 11)").await;
    let (_, said) = bed.verb(&heal).await;
    assert!(said.contains("2 without verdict, 6 doubled, 1 events"), "{said}");
    assert!(said.contains("; 1 after healing"), "{said}");
    assert_eq!(bed.counts().await, [(20, 20), (8, 8), (11, 11)]);
    assert_eq!(ledger(&bed).await, before);
}

/// An offset has two rows that differ. The one that agrees with the rows of other tables stays. Without such rows, the
/// newest schema judges. Either way one row is left.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_verdicts_is_left() {
    let (types, bed) = judged_before().await;
    let before = ledger(&bed).await;
    let double = async || {
        for (what, offsets) in [
            ("2 AS schema_version", "4, 5, 14"),
            ("'rejected' AS verdict, 2 AS schema_version", "6"),
            ("'accepted' AS verdict", "7"),
        ] {
            bed.execute(&format!(
                "INSERT INTO ledger SELECT * REPLACE ({what}) FROM ledger WHERE offset IN ({offsets})"
            ))
            .await;
        }
    };
    double().await;
    let (clean, said) = bed.verb(&["audit", "--heal", "--event-types", types.path().to_str().unwrap()]).await;
    assert!(clean, "{said}");
    assert_eq!((bed.counts().await, ledger(&bed).await), (JUDGED, before.clone()));

    // A projector that verifies a partition does the same.
    double().await;
    crate::zombies::commit(&bed, 0, "1:20").await;
    let running = bed.projector().await;
    bed.settled(20).await;
    assert_eq!((bed.counts().await, ledger(&bed).await), (JUDGED, before));

    // Without a row in any other table.
    bed.execute("ALTER TABLE events DELETE WHERE offset = 8").await;
    bed.execute("INSERT INTO ledger SELECT * REPLACE (2 AS schema_version) FROM ledger WHERE offset = 8")
        .await;
    running.stop().await;
    crate::zombies::commit(&bed, 0, "1:20").await;
    let running = bed.projector().await;
    bed.settled(20).await;
    running.stop().await;
    assert_eq!(bed.counts().await, [(20, 20), (9, 9), (11, 11)]);
    assert_eq!(ledger(&bed).await[8], (8, "rejected".into(), 2));
}

/// Only the ledger is lost: events and rejections restore it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ledger_comes_back_as_it_was() {
    let (types, bed) = judged_before().await;
    let before = ledger(&bed).await;
    bed.execute("TRUNCATE TABLE ledger").await;
    let (clean, said) = bed.verb(&["audit", "--heal", "--event-types", types.path().to_str().unwrap()]).await;
    assert!(clean, "{said}");
    assert_eq!((bed.counts().await, ledger(&bed).await), (JUDGED, before.clone()));

    bed.execute("TRUNCATE TABLE ledger").await;
    let running = bed.projector().await;
    bed.has(JUDGED).await;
    running.stop().await;
    assert_eq!((bed.counts().await, ledger(&bed).await), (JUDGED, before.clone()));

    // Without the version that judged them.
    std::fs::remove_file(types.path().join("v1.schema.json")).unwrap();
    bed.execute("TRUNCATE TABLE ledger").await;
    let running = bed.projector().await;
    bed.has(JUDGED).await;
    running.stop().await;
    assert_eq!((bed.counts().await, ledger(&bed).await), (JUDGED, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ledger_is_judged_again_from_its_gap() {
    let bed = projected().await;
    bed.execute("ALTER TABLE ledger DELETE WHERE offset >= 15").await;
    bed.execute("ALTER TABLE events DELETE WHERE offset = 22").await;
    // The commit stays while the rows come back.
    let running = bed.projector().await;
    bed.has([(40, 40), (21, 21), (10, 10)]).await;
    running.stop().await;

    bed.execute("TRUNCATE TABLE ledger").await;
    bed.send_events(2).await;
    let running = bed.projector().await;
    bed.has([(42, 42), (23, 23), (10, 10)]).await;
    running.stop().await;
    assert!(bed.verb(&["audit"]).await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_expired_commit_reading_starts_behind_the_ledger() {
    let bed = projected().await;
    bed.send_events(3).await;
    let mut config = bed.config.clone();
    config.group.group += "-other";
    let running = bed.projector_with(config).await;
    assert_eq!(bed.verdicts(43).await[40..], ["accepted"; 3]);
    running.stop().await;
    assert_eq!(bed.counts().await, [(43, 43), (24, 24), (10, 10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_generation_is_equal_row_for_row_and_then_serves() {
    let bed = projected().await;
    let running = bed.projector().await;
    let (built, said) = bed.verb(&["reproject"]).await;
    assert!(built && said.contains("generation 2 serves now"), "{said}");
    // The running projector has switched: it writes to the new generation.
    let end = bed.send(event(uuid::Uuid::new_v4()).as_bytes()).await + 1;
    let second = bed.config.clickhouse.client().with_database(bed.config.clickhouse.generation(2));
    eventually("the new generation goes on", || async {
        let rows: u64 = second.query("SELECT count() FROM ledger").fetch_one().await.ok()?;
        (rows == end).then_some(())
    })
    .await;
    running.stop().await;
    let (equal, said) = bed.verb(&["compare", "1", "2"]).await;
    assert!(equal && said.contains("are equal: 71 rows of 40 offsets"), "{said}");

    let events = tables::cluster::mutable(&bed.config.clickhouse, 2, "events");
    bed.execute(&format!("ALTER TABLE {events} DELETE WHERE offset = 2")).await;
    let (equal, said) = bed.verb(&["compare", "1", "2"]).await;
    assert!(!equal && said.contains("they differ at [2]"), "{said}");
    bed.execute(&format!("CREATE DATABASE IF NOT EXISTS {}", bed.config.clickhouse.generation(3))).await;
    let (dropped, said) = bed.verb(&["generations", "--drop", "1"]).await;
    assert!(dropped && said.contains("serves") && !said.contains("\n         1 "), "{said}");
    assert!(said.contains("\n         3 can't be read: "), "one without tables has no counts: {said}");
}
