//! Every record of the log gets its verdict.

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;
use std::process::Stdio;
use std::time::Duration;
use uuid::Uuid;

use crate::bed::{Bed, PATIENCE, event, eventually};
use crate::zombies::metric;

fn demo() -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: "app", value: Some("demo") })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_gets_one_verdict_whatever_its_bytes() {
    let bed = Bed::new(&[]).await;
    let id = Uuid::new_v4();
    bed.send(event(id).as_bytes()).await;
    bed.send(event(id).as_bytes()).await;
    bed.send(b"{").await;
    bed.send(b"").await;
    bed.send_with(None, demo()).await;
    bed.send(b"\xff\xfe\x00").await;
    bed.send(&[b'['; 100_000]).await;
    bed.send(event(Uuid::new_v4()).replace("2021-", "2899-").as_bytes()).await;
    bed.send(event(Uuid::new_v4()).replace("2021-", "1900-").as_bytes()).await;
    bed.send(event(Uuid::new_v4()).replace("pageview", "\\u0000 \u{1f441}/").as_bytes()).await;
    bed.send_with(Some(event(Uuid::new_v4()).as_bytes()), OwnedHeaders::new()).await;
    bed.send(event(Uuid::new_v4()).replace(r#""path":"/""#, r#""path":1"#).as_bytes()).await;
    bed.send(event(id).as_bytes()).await;
    let running = bed.projector().await;
    assert_eq!(
        bed.verdicts(13).await,
        [
            "accepted",
            "duplicate of 0",
            "rejected invalid_json",
            "rejected empty_record",
            "rejected empty_record",
            "rejected invalid_json",
            "rejected invalid_json",
            "rejected timestamp_out_of_range",
            "accepted",
            "rejected unknown_event_type",
            "rejected unknown_application",
            "rejected data_invalid",
            "duplicate of 0",
        ]
    );
    let raw: Vec<String> = bed
        .tables()
        .query("SELECT hex(raw) FROM rejections WHERE offset IN (2, 3, 5) ORDER BY offset")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(raw, ["7B", "", "FFFE00"], "the bytes are kept as they came");
    // Each record counts once by event type. An undeclared type has no name in the metrics.
    let expected = [
        ("", "", "rejected", "empty_record", 2),
        ("", "", "rejected", "invalid_json", 3),
        ("", "", "rejected", "unknown_event_type", 1),
        ("page interaction", "pageview", "accepted", "", 2),
        ("page interaction", "pageview", "duplicate", "", 2),
        ("page interaction", "pageview", "rejected", "data_invalid", 1),
        ("page interaction", "pageview", "rejected", "timestamp_out_of_range", 1),
        ("page interaction", "pageview", "rejected", "unknown_application", 1),
    ];
    let expected: Vec<String> = expected
        .into_iter()
        .map(|(category, name, verdict, reason, count)| {
            format!(
                "eye_projector_type_verdicts_total{{category=\"{category}\",name=\"{name}\",reason=\"{reason}\",verdict=\"{verdict}\"}} {count}"
            )
        })
        .collect();
    eventually("records are counted by event type", async || {
        let metrics = reqwest::get(format!("{}/metrics", running.url)).await.ok()?.text().await.ok()?;
        let counted =
            |line: &&str| line.starts_with("eye_projector_type_verdicts_total{") && !line.ends_with(" 0");
        (metrics.lines().filter(counted).collect::<Vec<_>>() == expected).then_some(())
    })
    .await;
    let sizes = eventually("ClickHouse's disks are measured", async || {
        let metrics = reqwest::get(format!("{}/metrics", running.url)).await.ok()?.text().await.ok()?;
        let of = |name: &str| -> Option<f64> {
            let start = format!("eye_projector_clickhouse_disk_{name}_bytes{{disk=\"default\",server=\"");
            metrics.lines().find(|line| line.starts_with(&start))?.rsplit(' ').next()?.parse().ok()
        };
        Some((of("free")?, of("size")?))
    });
    let (free, size) = sizes.await;
    assert!(0.0 < free && free < size, "{free} of {size}");
    running.stop().await;
    bed.settled(13).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_beyond_the_limit_is_rejected_with_its_beginning() {
    let bed = Bed::new(&["--max-record-bytes", "50000", "--chunk-bytes", "300000"]).await;
    let large =
        event(Uuid::new_v4()).replace(r#""path":"/""#, &format!(r#""path":"{}""#, "x".repeat(900_000)));
    for _ in 0..5 {
        bed.send(large.as_bytes()).await;
        bed.send(event(Uuid::new_v4()).as_bytes()).await;
    }
    let running = bed.projector().await;
    assert_eq!(bed.verdicts(10).await, ["rejected record_too_large", "accepted"].repeat(5));
    let raw: (u64, String) = bed
        .tables()
        .query("SELECT length(raw), substring(raw, 1, 12) FROM rejections LIMIT 1")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(raw, (65_536, r#"{"session_id"#.into()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_arrives_in_its_columns() {
    let bed = Bed::new(&[]).await;
    let id = Uuid::new_v4();
    let value = event(id).replace(r#","event_id""#, r#","sent_at":"2021-01-01T09:15:28Z","event_id""#);
    let headers =
        demo().insert(Header { key: "received_at", value: Some("2021-01-01T09:15:29.5Z") }).insert(Header {
            key: "traceparent",
            value: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        });
    bed.send_with(Some(value.as_bytes()), headers).await;
    let running = bed.projector().await;
    assert_eq!(bed.verdicts(1).await, ["accepted"]);
    let row: String = crate::bed::eventually("the event", || async {
        bed.tables()
            .query(
                "SELECT concat(toString(session_id), '|', toString(timestamp), '|', toString(partition), '|', \
                 toString(offset), '|', toString(event_id), '|', app, '|', category, '|', name, '|', data, '|', \
                 toString(assumeNotNull(sent_at)), '|', toString(received_at), '|', toString(schema_version), '|', traceparent) FROM events",
            )
            .fetch_one()
            .await
            .ok()
    })
    .await;
    assert_eq!(
        row,
        format!(
            "e2085be5-9137-4e4e-80b5-f1ffddc25423|2021-01-01 09:15:27.243860|0|0|{id}|demo|page interaction|pageview|\
             {{\"host\":\"www.example.com\",\"path\":\"/\"}}|2021-01-01 09:15:28.000000|2021-01-01 09:15:29.500000|1|\
             00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        )
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_and_aborted_records_are_absent() {
    let bed = Bed::new(&[]).await;
    let topic = bed.config.kafka.topic.clone();
    let producer: BaseProducer = bed.config.kafka.client(&[("transactional.id", &topic)]).create().unwrap();
    let values: Vec<String> = (0..4).map(|_| event(Uuid::new_v4())).collect();
    tokio::task::spawn_blocking(move || {
        let wait = Duration::from_secs(30);
        let send = |value: &str| {
            let record = BaseRecord::<(), str>::to(&topic).partition(0).payload(value).headers(demo());
            producer.send(record).map_err(|(error, _)| error).unwrap();
        };
        producer.init_transactions(wait).unwrap();
        producer.begin_transaction().unwrap();
        send(&values[0]);
        producer.commit_transaction(wait).unwrap();
        producer.begin_transaction().unwrap();
        send(&values[1]);
        send(&values[2]);
        producer.flush(wait).unwrap();
        producer.abort_transaction(wait).unwrap();
        producer.begin_transaction().unwrap();
        send(&values[3]);
        producer.commit_transaction(wait).unwrap();
    })
    .await
    .unwrap();
    let running = bed.projector().await;
    // No record follows the last marker.
    let expected = ["accepted", "absent", "absent", "absent", "absent", "accepted", "absent"];
    assert_eq!(bed.verdicts(7).await, expected);
    running.stop().await;
    bed.settled(7).await;

    // The same after a restart, also after a marker at the end.
    bed.send(event(Uuid::new_v4()).as_bytes()).await;
    let running = bed.projector().await;
    assert_eq!(bed.verdicts(8).await[7], "accepted");
    running.stop().await;
}

/// What the brokers have acknowledged is lag, also while it can't be judged: behind a transaction that is still open.
#[tokio::test(flavor = "multi_thread")]
async fn records_behind_an_open_transaction_are_lag() {
    let bed = Bed::new(&[]).await;
    bed.send_events(2).await;
    let running = bed.projector().await;
    bed.verdicts(2).await;
    let topic = bed.config.kafka.topic.clone();
    let producer: BaseProducer = bed.config.kafka.client(&[("transactional.id", &topic)]).create().unwrap();
    let wait = Duration::from_secs(30);
    let producer = tokio::task::spawn_blocking(move || {
        producer.init_transactions(wait).unwrap();
        producer.begin_transaction().unwrap();
        let value = event(Uuid::new_v4());
        let record = BaseRecord::<(), str>::to(&topic).partition(0).payload(&value).headers(demo());
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(wait).unwrap();
        producer
    });
    let producer = producer.await.unwrap();
    bed.send_events(3).await;
    eventually("a lag of four", async || {
        let lag = metric(&running.url, "eye_projector_lag_offsets{partition=\"0\"}").await?;
        (lag == 4.0).then_some(())
    })
    .await;
    assert_eq!(bed.counts().await[0], (2, 2), "none of them can be judged yet");
    tokio::task::spawn_blocking(move || producer.commit_transaction(wait).unwrap()).await.unwrap();
    bed.settled(7).await;
    eventually("no lag", async || {
        let lag = metric(&running.url, "eye_projector_lag_offsets{partition=\"0\"}").await?;
        (lag == 0.0).then_some(())
    })
    .await;
    running.stop().await;
}

/// Deletes the records of partition 0 before `offset`.
async fn delete_records(bed: &Bed, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = bed.config.kafka.client(&[]).create().unwrap();
    let mut gone = TopicPartitionList::new();
    gone.add_partition_offset(&bed.config.kafka.topic, 0, Offset::Offset(offset)).unwrap();
    admin.delete_records(&gone, &AdminOptions::new()).await.unwrap();
}

/// The log has lost records that no projector has read: the records after them are read, and later ones, too.
#[tokio::test(flavor = "multi_thread")]
async fn reading_continues_after_offsets_that_the_log_has_lost() {
    let bed = Bed::new(&[]).await;
    bed.send_events(5).await;
    let projector = bed.process(&[], Stdio::inherit());
    bed.verdicts(5).await;
    // The log loses the projector's next offset while the projector sleeps.
    projector.signal(Signal::STOP);
    bed.send_events(30).await;
    delete_records(&bed, 30).await;
    projector.signal(Signal::CONT);
    assert_eq!(bed.verdicts(35).await[30..], ["accepted"; 5]);
    bed.send_events(5).await;
    assert_eq!(bed.verdicts(40).await[35..], ["accepted"; 5]);
    projector.stop().await;
}

/// A batch of few bytes that is large when it is unpacked: it gets its verdict, or the partition says where it stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_unpacks_to_very_much() {
    let bed = Bed::new(&[]).await;
    bed.send_events(2).await;
    let options = [("compression.type", "zstd"), ("message.max.bytes", "200000000")];
    let producer: FutureProducer = bed.config.kafka.client(&options).create().unwrap();
    let blanks = vec![b' '; 120_000_000];
    let record = FutureRecord::<[u8], [u8]>::to(&bed.config.kafka.topic).partition(0).payload(&blanks);
    producer.send(record.headers(demo()), PATIENCE).await.map_err(|(error, _)| error).unwrap();
    bed.send_events(1).await;

    let mut config = bed.config.clone();
    config.kafka.options = vec![("receive.message.max.bytes".into(), "67108864".into())];
    let running = bed.projector_with(config).await;
    eventually("the partition says where it stands", async || {
        let answer = reqwest::get(format!("{}/readyz", running.url)).await.ok()?.text().await.ok()?;
        answer.contains("partition 0 stands still at offset 2").then_some(())
    })
    .await;
    assert_eq!(metric(&running.url, "eye_projector_partitions_stalled").await, Some(1.0));
    running.stop().await;

    let running = bed.projector().await;
    let expected = ["accepted", "accepted", "rejected record_too_large", "accepted"];
    assert_eq!(bed.verdicts(4).await, expected);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_loses_records_is_refused_and_told() {
    let bed = Bed::new(&[]).await;
    let running = bed.projector().await;
    let setting = async |name: &str| {
        metric(&running.url, &format!("eye_projector_topic_setting_faulty{{setting=\"{name}\"}}")).await
    };
    eventually("the settings are right", async || {
        setting("cleanup.policy").await.filter(|faulty| *faulty == 0.0)
    })
    .await;
    running.stop().await;
    let admin: AdminClient<DefaultClientContext> = bed.config.kafka.client(&[]).create().unwrap();
    let topic = &bed.config.kafka.topic;
    let alter = AlterConfig::new(ResourceSpecifier::Topic(topic))
        .set("retention.ms", "604800000")
        .set("cleanup.policy", "compact")
        .set("message.timestamp.type", "CreateTime");
    admin.alter_configs(&[alter], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let mut migrate = tokio::process::Command::from(bed.program(&["migrate"]));
    let output = migrate.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for words in [
        "retention.ms is 604800000, and must be -1; cleanup.policy is compact, and must be delete; \
         message.timestamp.type is CreateTime, and must be LogAppendTime",
        "--add-config retention.ms=-1,cleanup.policy=delete,message.timestamp.type=LogAppendTime",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let running = bed.projector().await;
    let told = async || {
        metric(&running.url, "eye_projector_topic_setting_faulty{setting=\"retention.ms\"}")
            .await
            .filter(|faulty| *faulty == 1.0)
    };
    eventually("a projector tells, too", told).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_log_lost_before_they_were_judged_are_counted() {
    let bed = Bed::new(&[]).await;
    bed.send_events(5).await;
    let running = bed.projector().await;
    bed.settled(5).await;
    running.stop().await;
    bed.send_events(30).await;
    delete_records(&bed, 30).await;
    let running = bed.projector().await;
    let verdicts = bed.verdicts(35).await;
    assert_eq!(verdicts, [["accepted"; 5].as_slice(), &["lost"; 25], &["accepted"; 5]].concat());
    assert_eq!(metric(&running.url, "eye_projector_verdicts_total{verdict=\"lost\"}").await, Some(25.0));
    running.stop().await;
    let (clean, said) = bed.verb(&["audit"]).await;
    let line = said.lines().find(|line| line.trim_start().starts_with("0 ")).unwrap_or_default();
    let counts: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(counts, ["0", "30", "35", "35", "10", "0", "0", "0", "25", "0", "0", "-"], "{said}");
    assert!(clean, "each offset has its verdict: {said}");
}

/// A gateway accepts a new application's events as soon as it has read the file; the projector reads the file later.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_has_just_been_registered_is_waited_for() {
    let bed = Bed::new(&["--registry-wait", "60"]).await;
    let running = bed.projector().await;
    bed.send_events(1).await;
    bed.verdicts(1).await;
    let later = || OwnedHeaders::new().insert(Header { key: "app", value: Some("later") });
    bed.send_with(Some(event(Uuid::new_v4()).as_bytes()), later()).await;
    let file = bed.config.judge.apps.clone().unwrap();
    std::fs::write(file, "[[app]]\nname = \"demo\"\n[[app]]\nname = \"later\"\n").unwrap();
    assert_eq!(bed.verdicts(2).await, ["accepted"; 2]);
    let file = bed.config.judge.apps.clone().unwrap();
    // A file that is just being written registers no application.
    std::fs::write(&file, "").unwrap();
    eventually("the empty file is refused", async || {
        let metrics = reqwest::get(format!("{}/metrics", running.url)).await.ok()?.text().await.ok()?;
        metrics.contains("eye_projector_apps_loaded 0").then_some(())
    })
    .await;
    bed.send_with(Some(event(Uuid::new_v4()).as_bytes()), later()).await;
    assert_eq!(bed.verdicts(3).await, ["accepted"; 3]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_nobody_registers_is_rejected_in_the_end() {
    let bed = Bed::new(&["--registry-wait", "1"]).await;
    let running = bed.projector().await;
    let stranger = || OwnedHeaders::new().insert(Header { key: "app", value: Some("stranger") });
    bed.send_with(Some(event(Uuid::new_v4()).as_bytes()), stranger()).await;
    bed.send_events(1).await;
    assert_eq!(bed.verdicts(2).await, ["rejected unknown_application", "accepted"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_event_type_is_waited_for() {
    let types = tempfile::tempdir().unwrap();
    let wait = ["--registry-wait", "80", "--event-types", types.path().to_str().unwrap()];
    let bed = Bed::new(&wait).await;
    let running = bed.projector().await;
    let new = event(Uuid::new_v4()).replace("page interaction", "a").replace("pageview", "b");
    bed.send(event(Uuid::new_v4()).as_bytes()).await;
    bed.send(new.as_bytes()).await;
    // The record before is judged, so the other one waits.
    bed.verdicts(1).await;
    let schema = r#"{"x-category":"a","x-name":"b","x-version":1,"type":"object"}"#;
    std::fs::write(types.path().join("b.schema.json"), schema).unwrap();
    assert_eq!(bed.verdicts(2).await, ["accepted"; 2]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_type_that_nobody_declares_is_rejected_in_the_end() {
    let bed = Bed::new(&["--registry-wait", "1"]).await;
    let running = bed.projector().await;
    bed.send(event(Uuid::new_v4()).replace("pageview", "unheard of").as_bytes()).await;
    bed.send_events(1).await;
    assert_eq!(bed.verdicts(2).await, ["rejected unknown_event_type", "accepted"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_name_that_is_not_utf_8_harms_nothing() {
    let bed = Bed::new(&[]).await;
    let kafka = bed.config.kafka.clone();
    let value = event(Uuid::new_v4());
    let headers: [(&[u8], &[u8]); 2] = [(b"\xff\xfe", b"x"), (b"app", b"demo")];
    tokio::task::spawn_blocking(move || {
        crate::raw::produce(&kafka.brokers, &kafka.topic, value.as_bytes(), &headers);
    })
    .await
    .unwrap();
    bed.send(event(Uuid::new_v4()).as_bytes()).await;
    let running = bed.projector().await;
    assert_eq!(bed.verdicts(2).await, ["accepted", "accepted"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_known_across_restarts() {
    let bed = Bed::new(&[]).await;
    let (first, derived) =
        (Uuid::new_v4(), event(Uuid::nil()).replace(&format!(r#","event_id":"{}""#, Uuid::nil()), ""));
    bed.send(event(first).as_bytes()).await;
    bed.send(derived.as_bytes()).await;
    let running = bed.projector().await;
    assert_eq!(bed.verdicts(2).await, ["accepted", "accepted"]);
    running.stop().await;
    bed.send(derived.as_bytes()).await;
    bed.send(event(first).as_bytes()).await;
    let running = bed.projector().await;
    assert_eq!(bed.verdicts(4).await[2..], ["accepted", "duplicate of 0"]);
    running.stop().await;
}

/// Whoever knows or guesses another application's ids can't turn its events into duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_id_is_known_by_application() {
    let bed = Bed::new(&[]).await;
    let apps = "[[app]]\nname = \"demo\"\n[[app]]\nname = \"mallory\"\n";
    std::fs::write(bed.config.judge.apps.clone().unwrap(), apps).unwrap();
    let mallory = || OwnedHeaders::new().insert(Header { key: "app", value: Some("mallory") });
    let (id, rejected) = (Uuid::new_v4(), "rejected data_invalid");
    let valid = event(id);
    let invalid = valid.replace(r#""path":"/""#, r#""path":1"#);
    for (value, headers) in [
        (&invalid, mallory()),
        (&invalid, demo()),
        (&valid, mallory()),
        (&valid, demo()),
        (&valid, demo()),
        (&invalid, demo()),
    ] {
        bed.send_with(Some(value.as_bytes()), headers).await;
    }
    let running = bed.projector().await;
    let expected = [rejected, rejected, "accepted", "accepted", "duplicate of 3", "duplicate of 3"];
    assert_eq!(bed.verdicts(6).await, expected);
    bed.settled(6).await;
    running.stop().await;
    // The same from the ledger.
    bed.send_with(Some(valid.as_bytes()), mallory()).await;
    bed.send_with(Some(valid.as_bytes()), demo()).await;
    let running = bed.projector().await;
    assert_eq!(bed.verdicts(8).await[6..], ["duplicate of 2", "duplicate of 3"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_classic_protocol_works_as_well() {
    let bed = Bed::new(&["--group-protocol", "classic"]).await;
    bed.send_events(3).await;
    let running = bed.projector().await;
    assert_eq!(bed.verdicts(3).await, ["accepted"; 3]);
    running.stop().await;
    bed.settled(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposed_schema_accepts_the_events_of_the_log() {
    let bed = Bed::new(&[]).await;
    let unknown = |price: &str| {
        let event = event(Uuid::new_v4()).replace("pageview", "price seen");
        let data = event.find(r#""data":"#).unwrap();
        let end = event[data..].find('}').unwrap() + data;
        format!(r#"{}"data":{{"sku":"a-1","price":{price}}}{}"#, &event[..data], &event[end + 1..])
    };
    for price in ["3", "4.5", "null", "\"dear\",\"price\":1"] {
        bed.send(unknown(price).as_bytes()).await;
    }
    bed.send(event(Uuid::new_v4()).as_bytes()).await;
    bed.send(b"{").await;

    let (succeeded, said) = bed.verb(&["propose-schema", "page interaction", "price seen"]).await;
    assert!(succeeded);
    let schema: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(schema["$comment"], "proposed from 3 events");
    assert_eq!(schema["properties"]["price"]["type"], serde_json::json!(["null", "number"]));
    assert_eq!(schema["required"], serde_json::json!(["price", "sku"]));
    let (_, said) = bed.verb(&["propose-schema", "page interaction", "price seen", "--samples", "1"]).await;
    assert!(said.contains("proposed from 1 events") && said.contains("\"integer\""));
    for (category, name) in [("page interaction", "pageview"), ("page interaction", "never sent")] {
        assert!(!bed.verb(&["propose-schema", category, name]).await.0);
    }

    // All records but the one that repeats a key would be events.
    let types = tempfile::tempdir().unwrap();
    std::fs::write(types.path().join("price seen.schema.json"), schema.to_string()).unwrap();
    let (succeeded, said) = bed.verb(&["check-schemas", types.path().to_str().unwrap()]).await;
    assert!(succeeded && said.contains("price seen of demo: 3 would become valid"), "{said}");
}
