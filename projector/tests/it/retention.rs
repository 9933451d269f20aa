//! Records older than the retention are in no table but the ledger, and the audit does not miss them.

use std::time::{Duration, SystemTime};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use uuid::Uuid;

use crate::bed::{Bed, event, eventually};

impl Bed {
    /// Lets the topic take the records' own times, so that records can be older than today.
    async fn take_times_of_producers(&self) {
        let admin: AdminClient<DefaultClientContext> = self.config.kafka.client(&[]).create().unwrap();
        let change = AlterConfig::new(ResourceSpecifier::Topic(&self.config.kafka.topic))
            .set("message.timestamp.type", "CreateTime")
            .set("retention.ms", "-1");
        let done = admin.alter_configs([&change], &AdminOptions::new()).await.unwrap();
        assert!(done[0].is_ok(), "{done:?}");
    }

    async fn send_aged(&self, session: Uuid, days: u64, valid: bool) {
        let age = Duration::from_secs(days * 86_400);
        let at = (SystemTime::now() - age).duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let value = event(Uuid::new_v4())
            .replace("e2085be5-9137-4e4e-80b5-f1ffddc25423", &session.to_string())
            .replace("pageview", if valid { "pageview" } else { "no such" });
        let record = FutureRecord::<[u8], [u8]>::to(&self.config.kafka.topic)
            .partition(0)
            .timestamp(at.as_millis() as i64)
            .headers(OwnedHeaders::new().insert(Header { key: "app", value: Some("demo") }))
            .payload(value.as_bytes());
        self.producer.send(record, Duration::from_secs(30)).await.unwrap();
    }

    /// Each session and the length of its sequence, the longest first.
    async fn sequences(&self) -> Vec<(String, u64)> {
        self.tables()
            .query("SELECT toString(session_id), events FROM sequences FINAL ORDER BY events DESC")
            .fetch_all()
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_record_keeps_only_its_verdict() {
    let bed = Bed::new(&["--chunk-rows", "10"]).await;
    bed.take_times_of_producers().await;
    let [old, both, new] = [(); 3].map(|()| Uuid::new_v4());
    for (session, days) in [(old, 60), (both, 40), (both, 3), (new, 2)] {
        for n in 0..8 {
            bed.send_aged(session, days, n < 6).await;
        }
    }
    let running = bed.projector().await;
    bed.settled(32).await;
    bed.has([(32, 32), (24, 24), (8, 8)]).await;
    let sequence = |session: Uuid, events: u64| (session.to_string(), events);
    eventually("all sequences", || async { (bed.sequences().await.len() == 3).then_some(()) }).await;
    assert_eq!(bed.sequences().await[0], sequence(both, 12));
    running.stop().await;

    let mut config = bed.config.clone();
    config.retention_days = 30;
    let running = bed.projector_with(config).await;
    bed.has([(32, 32), (12, 12), (4, 4)]).await;
    eventually("what is left of the sequences", || async {
        let mut left = bed.sequences().await;
        left.sort();
        let mut expected = [sequence(both, 6), sequence(new, 6)];
        expected.sort();
        (left == expected).then_some(())
    })
    .await;
    let (clean, said) = bed.verb(&["audit"]).await;
    assert!(clean, "{said}");
    let (clean, said) = bed.verb(&["audit", "--heal"]).await;
    assert!(clean && said.contains("32 offsets, each has one verdict"), "{said}");

    // Another generation leaves them out, too. One with another retention brings them back.
    let (built, said) = bed.verb(&["reproject", "--retention-days", "30"]).await;
    assert!(built && said.contains("generation 2 serves now"), "{said}");
    running.stop().await;
    let (equal, said) = bed.verb(&["compare", "1", "2"]).await;
    assert!(equal && said.contains("are equal: 48 rows of 32 offsets"), "{said}");
    assert!(bed.verb(&["audit"]).await.0);
    assert!(bed.verb(&["reproject"]).await.0);
    let whole = bed.config.clickhouse.client().with_database(bed.config.clickhouse.generation(3));
    assert_eq!(whole.query("SELECT count() FROM events").fetch_one::<u64>().await.unwrap(), 24);
    assert!(bed.verb(&["compare", "2", "3"]).await.0);

    // The audit finds a row below the horizon, and healing deletes it.
    bed.execute("INSERT INTO events (partition, offset) VALUES (0, 3)").await;
    assert!(!bed.verb(&["audit", "--generation", "1"]).await.0);
    assert!(bed.verb(&["audit", "--generation", "1", "--heal"]).await.0);
    assert_eq!(bed.counts().await, [(32, 32), (12, 12), (4, 4)]);
}
