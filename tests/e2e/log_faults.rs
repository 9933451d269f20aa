//! The log itself is harmed while events flow in: a topic made anew, truncated, restored from an older copy, its
//! records deleted, a transaction left open, a partition added, a broker that goes silent. Nothing stands still in
//! silence for a minute, whatever is refused is told, a person decides, and in the end the tables are those of the log
//! that there is.
//!
//! `EYE_LOG_FAULTS` says for how many seconds there are faults (a few in `make test`), `EYE_CHAOS_SEED` repeats a
//! sequence.

mod faults;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Pipeline, eventually};
use local_stack::{KafkaOptions, Stack, StackOptions};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::chaos::faults::quick_groups;
use faults::Faults;

/// How long nothing may move without a word.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the pipeline has after a fault, with the person's decision.
const PATIENCE: Duration = Duration::from_secs(400);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_log_is_told_and_put_right() {
    let setting =
        |name, default| std::env::var(name).map_or(default, |text: String| text.parse().expect("a number"));
    // An ordinary run has the same few faults each time.
    let (seconds, seed) = (setting("EYE_LOG_FAULTS", 20), setting("EYE_CHAOS_SEED", 31));
    eprintln!("log faults: {seconds} s, EYE_CHAOS_SEED={seed}");
    // The gateway must not make the topic that the test makes anew.
    let mut properties = quick_groups();
    properties.push(("auto.create.topics.enable".into(), "false".into()));
    let kafka = KafkaOptions { properties, ..KafkaOptions::default() };
    let stack =
        Stack::start(StackOptions { kafka, ..StackOptions::default() }).await.expect("the stack starts");
    let pipeline = Arc::new(Pipeline::start_on(Arc::new(stack), 2, None).await);

    let enough = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn(send(Arc::clone(&pipeline), Arc::clone(&enough)));
    let (mut faults, mut random) = (Faults::new(&pipeline).await, fastrand::Rng::with_seed(seed));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let fault = faults.inject(&pipeline, &mut random).await;
        let told = recovers(&pipeline, fault).await;
        println!("log faults: {fault}: {told}");
        tokio::time::sleep(Duration::from_millis(random.u64(500..3000))).await;
    }
    enough.store(true, Ordering::Relaxed);
    let acknowledged = traffic.await.unwrap();
    assert!(acknowledged > 0, "the gateway takes events");
    recovers(&pipeline, "the end").await;
    println!("log faults: {:?}, {acknowledged} events acknowledged", faults.counts());
    is_of_its_log(&pipeline).await;
}

/// Sends an event every few moments; whatever the answer. Returns how many were acknowledged.
async fn send(pipeline: Arc<Pipeline>, enough: Arc<AtomicBool>) -> u64 {
    let mut acknowledged = 0;
    while !enough.load(Ordering::Relaxed) {
        let event = format!(
            r#"{{"event_id":"{}","session_id":"{}","category":"page interaction","name":"pageview","data":{{"host":"a","path":"/"}},"timestamp":"2024-05-01 10:00:00.5"}}"#,
            Uuid::new_v4(),
            Uuid::new_v4()
        );
        match pipeline.request("application/json").body(event).send().await {
            Ok(answer) => acknowledged += u64::from(answer.status().as_u16() == 202),
            // The idempotent producer gives up for good where a log has lost what it acknowledged: the gateway ends
            // with a word, and whoever watches over it starts it again.
            Err(_) => pipeline.ingest.process.start(),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    acknowledged
}

/// Waits until all is well again, and decides where a person has to. Returns what was told meanwhile.
async fn recovers(pipeline: &Pipeline, fault: &str) -> String {
    let (began, mut told) = (Instant::now(), BTreeMap::<String, u64>::new());
    let (mut moved, mut before) = (Instant::now(), u64::MAX);
    loop {
        let mut words = Vec::new();
        for projector in &pipeline.projectors {
            if let Ok(answer) = reqwest::get(format!("{}/readyz", projector.url())).await {
                let is_ready = answer.status().is_success();
                let text = answer.text().await.unwrap_or_default();
                if !is_ready {
                    words.push(text);
                }
            }
        }
        let audit = pipeline.get("/v1/audit").await;
        let lag = audit["partitions"].as_array().map(|partitions| {
            partitions.iter().map(|partition| partition["lag"].as_u64().unwrap_or(0)).sum::<u64>()
        });
        let is_compared = audit["log_compared"] == true;
        let rows = audit["partitions"].to_string().len() as u64
            + audit["verdicts"]
                .as_object()
                .map_or(0, |all| all.values().filter_map(serde_json::Value::as_u64).sum());
        if rows != before {
            (moved, before) = (Instant::now(), rows);
        }
        // Traffic flows: some lag at a look is no standing still, and a lag that stays is told by its metric.
        let is_well =
            words.is_empty() && is_compared && audit["adds_up"] == true && lag.unwrap_or(u64::MAX) < 100;
        if is_well {
            return format!("well after {:.1} s; {told:?}", began.elapsed().as_secs_f64());
        }
        let is_told =
            !words.is_empty() || audit["adds_up"] == false || !is_compared || lag.is_some_and(|lag| lag > 0);
        assert!(is_told || moved.elapsed() < SILENCE, "{fault}: nothing moves and nothing is told: {audit}");
        let logs = || {
            pipeline
                .projectors
                .iter()
                .map(|projector| projector.log_end(40))
                .collect::<Vec<_>>()
                .join("\n---\n")
        };
        assert!(began.elapsed() < PATIENCE, "{fault}: not well: {words:?} {audit}\n{}", logs());
        for words in words {
            let short = words.split("detail\":\"").nth(1).unwrap_or(&words).chars().take(60).collect();
            *told.entry(short).or_default() += 1;
            if words.contains("accept-loss") {
                // A person reads it, and decides.
                let said = pipeline.settings.projector_verb(&["accept-loss", "--yes"]).await;
                told.entry(said.map_or_else(|error| format!("{error:#}"), |_| "accepted".into()))
                    .or_default();
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Each offset that the log has, has one verdict, and it is that of the record that the log holds there.
async fn is_of_its_log(pipeline: &Pipeline) {
    let ends = eventually(PATIENCE, async || {
        let ends = pipeline.log_ends();
        let verdicts = pipeline.verdicts().await;
        let last = |id: i32| {
            verdicts.keys().filter(|(of, _)| i32::from(*of) == id).map(|(_, offset)| *offset as i64).max()
        };
        ends.iter().all(|(id, end)| last(*id).unwrap_or(-1) + 1 == *end).then_some(ends)
    });
    let ends = ends.await;
    let verdicts = pipeline.verdicts().await;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &pipeline.settings.kafka)
        .set("group.id", "check")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let topic = &pipeline.settings.topic;
    for (partition, end) in ends {
        let (start, _) = consumer.fetch_watermarks(topic, partition, PATIENCE).expect("watermarks");
        let of_partition =
            verdicts.range((partition as u16, start as u64)..(partition as u16 + 1, 0)).count();
        assert_eq!(of_partition as i64, end - start, "partition {partition}: a verdict for each offset");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(start)).unwrap();
        consumer.assign(&list).expect("assigned");
        let mut records = 0;
        while let Some(polled) = consumer.poll(Duration::from_secs(30)) {
            let Ok(message) = polled else { break };
            let place = (partition as u16, message.offset() as u64);
            let payload: serde_json::Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
            let id = payload["event_id"].as_str().unwrap();
            assert_eq!(verdicts[&place].event_id.to_string(), id, "{place:?} is a row of another log");
            assert_eq!(
                verdicts[&place].outcome,
                "accepted",
                "{place:?} {:?}",
                message.headers().map(|all| all.count())
            );
            records += 1;
        }
        println!("log faults: partition {partition} has {records} records at {start} to {end}");
    }
}
