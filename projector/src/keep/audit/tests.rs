//! Tests the audit in the background, without the ten minutes between its sweeps.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use infra::kafka::{KafkaConfig, TopicConfig};
use local_stack::{Stack, StackOptions};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::{Known, sweep};
use crate::cli::{Cli, Command};
use crate::keep::heal::heal;
use crate::metrics::Metrics;
use crate::work::Work;

/// How long a test waits. Generous, so that no test depends on the machine's speed.
const PATIENCE: Duration = Duration::from_secs(90);
/// The number of records in the log. None is JSON.
const END: u64 = 5;

/// A projector whose log is in the tables.
async fn projected(stack: &Stack) -> Work {
    let line = ["projector", "run", "--kafka-brokers", &stack.kafka.address()].map(String::from);
    let line = line.into_iter().chain(stack.clickhouse.arguments("writer"));
    let Command::Run(config) = Cli::parse_from(line).command else { unreachable!() };
    let topic = TopicConfig { partitions: 1, replication: 1, min_in_sync: 1 };
    infra::kafka::create_topic(&config.kafka, &topic).await.unwrap();
    tables::migrate(&config.clickhouse, 1).await.unwrap();
    append(&config.kafka).await;
    let judge = config.judge.load(&config.kafka.topic).unwrap();
    let work = Work::new(*config, 1, judge, Metrics::new().unwrap()).unwrap();
    heal(&work, 0, 0..END).await.unwrap();
    work.progress.set_owned(vec![0]);
    work.progress.set_inserted_to(0, END);
    work
}

async fn append(kafka: &KafkaConfig) {
    let producer: FutureProducer = kafka.client(&[]).create().unwrap();
    for _ in 0..END {
        let record = FutureRecord::<[u8], [u8]>::to(&kafka.topic).partition(0).payload(b"{");
        producer.send(record, PATIENCE).await.unwrap();
    }
}

async fn rejections(work: &Work) -> u64 {
    work.database.client.query("SELECT count() FROM eye_g1.rejections").fetch_one().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_the_turn_only_to_heal() {
    let stack = Stack::start(StackOptions::default()).await.expect("the stack starts");
    let work = Arc::new(projected(&stack).await);
    assert_eq!(rejections(&work).await, END);

    // While another task has the turn, the audit still reads.
    let passing = work.turn.lock().await;
    let faults = tokio::time::timeout(PATIENCE, sweep(&work, &mut Known::default()))
        .await
        .expect("it does not wait for its turn");
    assert_eq!(faults.unwrap(), 0);

    // To heal, it waits for the turn.
    work.database.alter("rejections", "DELETE WHERE offset = 2").await.unwrap();
    let mut healing = tokio::spawn({
        let work = Arc::clone(&work);
        async move { sweep(&work, &mut Known::default()).await }
    });
    let waits = tokio::time::timeout(Duration::from_secs(2), &mut healing).await;
    assert!(waits.is_err(), "healed beside a pass: {waits:?}");
    assert_eq!(rejections(&work).await, END - 1);
    drop(passing);
    assert_eq!(healing.await.unwrap().unwrap(), 0, "healed");
    assert_eq!(rejections(&work).await, END);
    assert_eq!(work.metrics.healed.with_label_values(&["audit"]).get(), 1);
    stack.stop().await;
}

/// A verdict that healing keeps remains a fault: each sweep reports it, and does no work for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_verdict_costs_a_sweep_no_work() {
    let stack = Stack::start(StackOptions::default()).await.expect("the stack starts");
    let work = projected(&stack).await;
    let client = work.database.client.clone().with_database(&work.database.name);
    // As if another version had accepted the record, and its event were lost.
    work.database.alter("ledger", "UPDATE verdict = 'accepted' WHERE offset = 1").await.unwrap();
    work.database.alter("rejections", "DELETE WHERE offset = 1").await.unwrap();
    let sequence = "INSERT INTO sequences (session_id) SELECT session_id FROM ledger WHERE offset = 1";
    client.query(sequence).execute().await.unwrap();
    let sequences = async || client.query("SELECT count() FROM sequences").fetch_one::<u64>().await.unwrap();
    let mut known = Known::default();
    assert_eq!(sweep(&work, &mut known).await.unwrap(), 1);
    assert_eq!(sequences().await, 1, "nothing has changed, and no session is computed anew");

    // The fault is known now: it is not judged again, for which the audit would have to wait.
    let passing = work.turn.lock().await;
    for _ in 0..2 {
        let sweep = tokio::time::timeout(PATIENCE, sweep(&work, &mut known)).await;
        assert_eq!(sweep.expect("it does not wait for its turn").unwrap(), 1);
    }
    assert!(known.totals.contains_key(&0), "the whole log is not read again for it");
    drop(passing);

    work.database.alter("rejections", "DELETE WHERE offset = 2").await.unwrap();
    assert_eq!(sweep(&work, &mut known).await.unwrap(), 1);
    assert_eq!(rejections(&work).await, END - 1, "healed, but for what is kept");
    assert_eq!(sequences().await, 0);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_fails_does_not_stop_the_others() {
    let stack = Stack::start(StackOptions::default()).await.expect("the stack starts");
    let work = projected(&stack).await;
    // The log has no such partition.
    work.progress.set_owned(vec![7, 0]);
    work.progress.set_inserted_to(7, END);
    work.database.alter("rejections", "DELETE WHERE offset = 2").await.unwrap();
    assert_eq!(
        sweep(&work, &mut Known::default()).await.unwrap(),
        1,
        "not clean, as nobody has looked at it"
    );
    assert_eq!(rejections(&work).await, END);
    stack.stop().await;
}
