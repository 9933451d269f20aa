//! An erased session is in no table, and stays erased.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use uuid::Uuid;

use crate::bed::{Bed, eventually};

fn demo() -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: "app", value: Some("demo") })
}

fn event(session: Uuid, event_id: Uuid) -> String {
    crate::bed::event(event_id).replace("e2085be5-9137-4e4e-80b5-f1ffddc25423", &session.to_string())
}

impl Bed {
    async fn send_keyed(&self, session: Uuid, value: &str, headers: OwnedHeaders) -> u64 {
        let key = session.to_string();
        let record =
            FutureRecord::to(&self.config.kafka.topic).partition(0).headers(headers).key(&key).payload(value);
        self.producer.send(record, std::time::Duration::from_secs(30)).await.unwrap().offset as u64
    }

    async fn ask_to_erase(&self, session: Uuid) -> u64 {
        let headers = OwnedHeaders::new().insert(Header { key: "erase", value: Some("session") });
        self.send_keyed(session, "{}", headers).await
    }

    /// All rows of every table of every generation of this bed, and the mutations that changed them, as text.
    async fn everything(&self) -> String {
        let mut all = String::new();
        for client in self.config.clickhouse.clients() {
            let tables: Vec<String> = client
                .query(
                    "SELECT concat(database, '.', name) FROM system.tables \
                     WHERE startsWith(database, {database:String}) AND engine LIKE '%MergeTree'",
                )
                .param("database", format!("{}_g", self.config.clickhouse.database))
                .fetch_all()
                .await
                .unwrap();
            assert!(tables.len() >= 8, "{tables:?}");
            for table in tables.iter().map(String::as_str).chain(["system.mutations"]) {
                let mut lines =
                    client.query(&format!("SELECT * FROM {table}")).fetch_bytes("JSONEachRow").unwrap();
                all += &String::from_utf8_lossy(&lines.collect().await.unwrap());
            }
        }
        all
    }

    async fn is_gone(&self, session: Uuid) {
        eventually("nothing is left", || async {
            (!self.everything().await.contains(&session.to_string())).then_some(())
        })
        .await;
    }

    /// Writes the same history in every test: accepted, rejected and repeated events of two sessions, and records whose
    /// session only the key tells. Returns both sessions and the id of the first one's first event.
    async fn two_sessions(&self) -> (Uuid, Uuid, Uuid) {
        let (gone, kept, first) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        for session in [gone, kept] {
            for n in 0..8 {
                let id = if n == 0 && session == gone { first } else { Uuid::new_v4() };
                let event = event(session, id);
                self.send_keyed(session, &event, demo()).await;
                let unknown = self::event(session, Uuid::new_v4()).replace("pageview", "no such");
                let second = [event.as_str(), &unknown, &event[..90]][n % 3];
                self.send_keyed(session, second, demo()).await;
            }
        }
        (gone, kept, first)
    }
}

/// The offsets that `two_sessions` writes.
const HISTORY: u64 = 32;

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_session_is_in_no_table_even_after_a_reprojection() {
    let bed = Bed::new(&["--chunk-rows", "10"]).await;
    let (gone, kept, first) = bed.two_sessions().await;
    let running = bed.projector().await;
    bed.settled(HISTORY).await;
    eventually("both have a sequence", || async {
        let sequences: u64 =
            bed.tables().query("SELECT count() FROM sequences FINAL").fetch_one().await.ok()?;
        (sequences == 2).then_some(())
    })
    .await;
    assert!(bed.everything().await.contains(&gone.to_string()));

    let (erased, said) = bed.verb(&["erase", &gone.to_string(), "--wait"]).await;
    assert!(erased && said.contains("to be erased, by partition 0, offset 32"), "{said}");
    bed.is_gone(gone).await;
    assert!(bed.everything().await.contains(&kept.to_string()));

    // Later events of the session are erased, too. The id of its first event is still known in other sessions.
    bed.send_keyed(gone, &event(gone, Uuid::new_v4()), demo()).await;
    bed.send_keyed(kept, &event(kept, first), demo()).await;
    let verdicts = bed.verdicts(HISTORY + 3).await;
    assert!(verdicts[..16].iter().all(|verdict| verdict == "erased"), "{verdicts:?}");
    assert_eq!(verdicts[32..], ["erasure", "erased", "duplicate of 0"]);
    bed.settled(HISTORY + 3).await;
    assert_eq!(bed.counts().await, [(35, 35), (8, 8), (5, 5)]);
    let (clean, said) = bed.verb(&["audit"]).await;
    assert!(clean && said.contains("35 offsets, each has one verdict"), "{said}");

    let (built, said) = bed.verb(&["reproject"]).await;
    assert!(built && said.contains("generation 2 serves now"), "{said}");
    let (equal, said) = bed.verb(&["compare", "1", "2"]).await;
    // 35 verdicts, 8 events, 5 rejections, 1 erasure.
    assert!(equal && said.contains("are equal: 49 rows of 35 offsets"), "{said}");
    running.stop().await;
    bed.is_gone(gone).await;
    assert!(bed.verb(&["audit"]).await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_came_back_is_erased_at_start_and_by_healing() {
    let bed = Bed::new(&["--chunk-rows", "10"]).await;
    let (gone, _, _) = bed.two_sessions().await;
    let running = bed.projector().await;
    bed.settled(HISTORY).await;
    let tables = ["ledger", "events", "rejections", "sequences"];
    eventually("both have a sequence", || async {
        let sequences: u64 =
            bed.tables().query("SELECT count() FROM sequences FINAL").fetch_one().await.ok()?;
        (sequences == 2).then_some(())
    })
    .await;
    for table in tables {
        bed.execute(&format!(
            "CREATE TABLE {table}_before ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM {table}"
        ))
        .await;
    }
    bed.ask_to_erase(gone).await;
    bed.settled(HISTORY + 1).await;
    bed.execute("CREATE TABLE erasure_before ENGINE = MergeTree ORDER BY offset AS SELECT * FROM ledger WHERE offset = 32")
        .await;
    running.stop().await;

    // All tables are set back to the moment when the request had come and nothing was erased; then half of them; then
    // all of them to before the request.
    let erasures = "erasures";
    let before = [&tables[..], &[erasures]].concat();
    for back in [&tables[..], &["ledger", "sequences"], &["events", "rejections"], &before] {
        for table in back {
            bed.execute(&format!("TRUNCATE TABLE {table}")).await;
            if *table == erasures {
                continue;
            }
            bed.execute(&format!("INSERT INTO {table} SELECT * FROM {table}_before")).await;
        }
        if back.contains(&"ledger") && !back.contains(&erasures) {
            bed.execute("INSERT INTO ledger SELECT * FROM erasure_before").await;
        }
        let (clean, said) = bed.verb(&["audit"]).await;
        assert!(!clean, "{said}");
        if back.len() == 4 {
            // The background audit is not needed for this.
            let running = bed.projector().await;
            for table in tables {
                eventually(table, || async {
                    let sql = format!("SELECT count() FROM {table} WHERE session_id = {{session:UUID}}");
                    let query = bed.tables().query(&sql).param("session", gone.to_string());
                    (query.fetch_one::<u64>().await.ok()? == 0).then_some(())
                })
                .await;
            }
            running.stop().await;
        } else {
            let (clean, said) = bed.verb(&["audit", "--heal"]).await;
            assert!(clean, "{said}");
        }
        assert!(bed.verb(&["audit"]).await.0);
        assert_eq!(bed.counts().await, [(33, 33), (8, 8), (5, 5)]);
    }
    for table in tables {
        bed.execute(&format!("DROP TABLE {table}_before SYNC")).await;
    }
    bed.is_gone(gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_no_request_erases_nothing() {
    let bed = Bed::new(&[]).await;
    let session = Uuid::new_v4();
    let running = bed.projector().await;
    bed.send_keyed(session, &event(session, Uuid::new_v4()), demo()).await;
    let erase = |value| OwnedHeaders::new().insert(Header { key: "erase", value: Some(value) });
    bed.send_keyed(session, "{}", erase("everything")).await;
    bed.send_with(Some(b"{}"), erase("session")).await;
    bed.send_keyed(Uuid::nil(), "{}", erase("session")).await;
    let verdicts = bed.verdicts(4).await;
    assert_eq!(verdicts[0], "accepted");
    assert!(verdicts[1..].iter().all(|verdict| verdict.starts_with("rejected ")), "{verdicts:?}");
    running.stop().await;
}

/// Whoever may write to the topic can write a request, but only a signed one counts.
#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_a_key_may_erase() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "0123456789abcdef0123456789abcdef\n").unwrap();
    let file = keys.path().to_str().unwrap();
    let bed = Bed::new(&["--erase-keys", file]).await;
    let session = Uuid::new_v4();
    bed.send_keyed(session, &event(session, Uuid::new_v4()), demo()).await;
    bed.ask_to_erase(session).await;
    let running = bed.projector().await;
    let verdicts = bed.verdicts(2).await;
    assert_eq!(verdicts[0], "accepted");
    assert!(verdicts[1].contains("unsigned_erasure"), "{verdicts:?}");

    let id = session.to_string();
    let (erased, _) = bed.verb(&["erase", &id, "--wait"]).await;
    assert!(!erased, "it says that the request is refused, instead of waiting");
    assert!(bed.everything().await.contains(&id));
    let (erased, said) = bed.verb(&["erase", &id, "--wait", "--erase-keys", file]).await;
    assert!(erased, "{said}");
    bed.is_gone(session).await;
    // The refused requests name the session, so they are its records, too.
    assert_eq!(bed.verdicts(4).await, ["erased", "erased", "erased", "erasure"]);
    running.stop().await;
}

/// What is no session can't be erased as one: its text is, or its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_record_is_erased_by_its_text_or_its_place() {
    let bed = Bed::new(&[]).await;
    let (session, other) = (Uuid::new_v4(), Uuid::new_v4());
    let named = |session: &str| event(other, Uuid::new_v4()).replacen(&other.to_string(), session, 1);
    let broken = r#"{"session_id":"bob@example.com", "#;
    for value in [
        named("ann@example.com"),
        named(&format!(" {session} ")),
        broken.to_owned(),
        named("eve@example.com"),
    ] {
        bed.send(value.as_bytes()).await;
    }
    let running = bed.projector().await;
    bed.verdicts(4).await;
    let gone = ["ann@example.com", "bob@example.com", &session.to_string()].map(str::to_owned);
    let all = bed.everything().await;
    assert!(gone.iter().all(|text| all.contains(text)));

    let arguments = ["erase", &gone[2], "--text", &gone[0], "--at", "0:2", "--wait"];
    let (erased, said) = bed.verb(&arguments).await;
    assert!(erased && said.contains("erased from ClickHouse: 3"), "{said}");
    eventually("nothing is left", async || {
        let all = bed.everything().await;
        gone.iter().all(|text| !all.contains(text)).then_some(())
    })
    .await;
    assert!(bed.everything().await.contains("eve@example.com"));
    // What comes later, too.
    bed.send(named("ann@example.com").as_bytes()).await;
    let verdicts = bed.verdicts(8).await;
    let erased =
        ["erased", "erased", "erased", "rejected invalid_field", "erasure", "erasure", "erasure", "erased"];
    assert_eq!(verdicts, erased);
    bed.settled(8).await;
    assert!(bed.verb(&["audit"]).await.0);
    let (built, said) = bed.verb(&["reproject"]).await;
    assert!(built, "{said}");
    let (equal, said) = bed.verb(&["compare", "1", "2"]).await;
    assert!(equal, "{said}");
    running.stop().await;
    let (refused, _) = bed.verb(&["erase", "--text", &gone[2]]).await;
    assert!(!refused, "a session is erased as one");
}
