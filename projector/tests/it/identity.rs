//! Another log under the same name: nothing of it is projected until a person decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use infra::kafka::{KafkaConfig, TopicConfig};
use local_stack::harm::{copy, cut_batches};
use local_stack::{START, Stack, StackOptions};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use crate::bed::{Bed, PATIENCE, Running, event, eventually};
use crate::zombies::metric;

/// Deletes the topic and makes it again.
async fn make_anew(bed: &Bed) {
    let kafka = &bed.config.kafka;
    let admin: AdminClient<DefaultClientContext> = kafka.client(&[]).create().unwrap();
    admin.delete_topics(&[&kafka.topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let topic = TopicConfig { partitions: 1, replication: 1, min_in_sync: 1 };
    eventually("the topic is made again", async || {
        infra::kafka::create_topic(kafka, &topic).await.ok()?;
        let client: AdminClient<DefaultClientContext> = kafka.client(&[]).create().ok()?;
        let metadata = client.inner().fetch_metadata(Some(&kafka.topic), Duration::from_secs(5)).ok()?;
        (metadata.topics()[0].partitions().len() == 1).then_some(())
    })
    .await;
}

/// Waits until `/readyz` says that the log is another one, in these words, and the metric counts it.
async fn refused(running: &Running, words: &str) {
    eventually(&format!("/readyz says: {words}"), async || {
        let answer = reqwest::get(format!("{}/readyz", running.url)).await.ok()?.text().await.ok()?;
        (answer.contains(words) && answer.contains("accept-loss")).then_some(())
    })
    .await;
    assert_eq!(metric(&running.url, "eye_projector_partitions_refused").await, Some(1.0));
    assert_eq!(metric(&running.url, "eye_projector_lag_offsets{partition=\"0\"}").await, None);
}

async fn runs(running: &Running) {
    eventually("/readyz is ok", async || {
        let answer = reqwest::get(format!("{}/readyz", running.url)).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    assert_eq!(metric(&running.url, "eye_projector_partitions_refused").await, Some(0.0));
}

/// The ids of the events that the tables have.
async fn event_ids(bed: &Bed) -> Vec<String> {
    let sql = "SELECT toString(event_id) FROM events ORDER BY offset";
    bed.tables().query(sql).fetch_all().await.unwrap()
}

/// Twenty events that are projected and settled, and the projector.
async fn projected(bed: &Bed) -> (Vec<String>, Running) {
    let ids = send(bed, 20).await;
    let running = bed.projector().await;
    bed.settled(20).await;
    (ids, running)
}

async fn send(bed: &Bed, count: usize) -> Vec<String> {
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
    for id in &ids {
        bed.send(event(*id).as_bytes()).await;
    }
    ids.iter().map(Uuid::to_string).collect()
}

/// Writes events by a producer of its own: that of the bed may not know the partition yet, or another cluster.
async fn send_to(kafka: &KafkaConfig, partition: i32, count: usize) {
    let producer: FutureProducer = kafka.client(&[]).create().unwrap();
    for _ in 0..count {
        let value = event(Uuid::new_v4());
        let record = FutureRecord::<[u8], [u8]>::to(&kafka.topic).partition(partition);
        let record = record.payload(value.as_bytes());
        producer.send(record, PATIENCE).await.map_err(|(error, _)| error).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_refused_however_long_it_gets() {
    let bed = Bed::new(&[]).await;
    let (old, running) = projected(&bed).await;
    running.stop().await;
    make_anew(&bed).await;
    let mut new = send(&bed, 3).await;

    let running = bed.projector().await;
    refused(&running, "the log ends at 3").await;
    // Until here it could be a log that has lost its last records; longer than before, it could pass for the old one.
    new.extend(send(&bed, 40).await);
    refused(&running, "is not the one that was judged").await;
    assert_eq!(event_ids(&bed).await, old, "nothing of the new log is in the tables");
    let (clean, said) = bed.verb(&["audit"]).await;
    assert!(!clean && said.contains("is not the one that was judged"), "{said}");
    let (clean, _) = bed.verb(&["audit", "--heal"]).await;
    assert!(!clean, "healing would mix two logs");
    assert_eq!(event_ids(&bed).await, old);

    let (decided, said) = bed.verb(&["accept-loss"]).await;
    let lost = "the log has offsets 0 to 43, the tables know offsets up to 20, and from offset 0 on they are not the \
                same. The tables hold of the lost records: 20 accepted";
    assert!(!decided && said.contains(lost) && said.contains("Nothing was changed"), "{said}");
    assert_eq!(event_ids(&bed).await, old);
    let (decided, said) = bed.verb(&["accept-loss", "--yes"]).await;
    assert!(decided && said.contains("Done"), "{said}");
    bed.settled(43).await;
    runs(&running).await;
    running.stop().await;
    assert_eq!(event_ids(&bed).await, new);
    assert_eq!(bed.counts().await, [(43, 43), (43, 43), (0, 0)]);
    assert!(bed.verb(&["audit"]).await.0);
    let (decided, said) = bed.verb(&["accept-loss"]).await;
    assert!(decided && said.contains("nothing is lost"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_while_a_projector_runs() {
    let bed = Bed::new(&[]).await;
    let (old, running) = projected(&bed).await;
    make_anew(&bed).await;
    send(&bed, 60).await;
    refused(&running, "is not the one that was judged").await;
    assert_eq!(event_ids(&bed).await, old, "nothing of the new log is in the tables");
    // A new generation begins with the log as it is, and leaves the old one alone.
    let (built, said) = bed.verb(&["reproject"]).await;
    assert!(built && said.contains("generation 2 serves now"), "{said}");
    runs(&running).await;
    running.stop().await;
    assert_eq!(event_ids(&bed).await, old);
    let second = bed.config.clickhouse.client().with_database(bed.config.clickhouse.generation(2));
    let rows: u64 = second.query("SELECT count() FROM events").fetch_one().await.unwrap();
    assert_eq!(rows, 60);
}

/// A partition that has no rows yet is as much another log's as one that has.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_partition_of_another_log_is_refused() {
    let bed = Bed::new(&[]).await;
    let (old, running) = projected(&bed).await;
    running.stop().await;
    make_anew(&bed).await;
    bed.widen(2).await;
    send_to(&bed.config.kafka, 1, 1).await;
    let running = bed.projector().await;
    eventually("both partitions are refused", async || {
        let refused = metric(&running.url, "eye_projector_partitions_refused").await?;
        (refused == 2.0).then_some(())
    })
    .await;
    running.stop().await;
    assert_eq!(event_ids(&bed).await, old);
}

/// The log that was made anew may have fewer partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_the_new_log_lacks_is_lost_as_a_whole() {
    let bed = Bed::new(&[]).await;
    bed.widen(2).await;
    send_to(&bed.config.kafka, 1, 1).await;
    let running = bed.projector().await;
    bed.verdicts(1).await;
    running.stop().await;
    make_anew(&bed).await;
    let new = send(&bed, 3).await;
    let running = bed.projector().await;
    refused(&running, "partition 1 is not the one that was judged").await;
    let (decided, said) = bed.verb(&["accept-loss", "--yes"]).await;
    assert!(decided && said.contains("partition 1: the log has offsets 0 to 0"), "{said}");
    bed.settled(3).await;
    runs(&running).await;
    running.stop().await;
    assert_eq!(event_ids(&bed).await, new);
    assert!(bed.verb(&["audit"]).await.0);
}

/// Of another cluster, by its address.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_the_same_name_on_another_cluster_is_refused() {
    let bed = Bed::new(&[]).await;
    let (old, running) = projected(&bed).await;
    running.stop().await;

    let elsewhere = Bed::on(Arc::new(Stack::start(StackOptions::default()).await.unwrap()), &[]).await;
    let mut config = bed.config.clone();
    config.kafka.brokers = elsewhere.config.kafka.brokers.clone();
    let topic = TopicConfig { partitions: 1, replication: 1, min_in_sync: 1 };
    infra::kafka::create_topic(&config.kafka, &topic).await.unwrap();
    send_to(&config.kafka, 0, 30).await;
    let running = bed.projector_with(config).await;
    refused(&running, "is not the one that was judged").await;
    running.stop().await;
    assert_eq!(event_ids(&bed).await, old);

    // Back at the right one, everything goes on by itself.
    let more = send(&bed, 5).await;
    let running = bed.projector().await;
    bed.settled(25).await;
    runs(&running).await;
    running.stop().await;
    assert_eq!(event_ids(&bed).await, [old, more].concat());
}

fn log_dir(bed: &Bed) -> PathBuf {
    bed.stack.data().join("kafka/log")
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_power_cut_took_are_told() {
    let bed = Bed::on(Arc::new(Stack::start(StackOptions::default()).await.unwrap()), &[]).await;
    let first = send(&bed, 30).await;
    let running = bed.projector().await;
    bed.settled(30).await;
    let broker = &bed.stack.kafka.process;
    broker.kill().await;
    let directory = log_dir(&bed).join(format!("{}-0", bed.config.kafka.topic));
    cut_batches(&directory, 10).unwrap();
    for checkpoint in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
        let _ = std::fs::remove_file(log_dir(&bed).join(checkpoint));
    }
    broker.start();
    broker.ready(START).await.unwrap();
    refused(&running, "the log ends at 20").await;
    let second = send(&bed, 40).await;
    refused(&running, "is not the one that was judged").await;
    assert_eq!(event_ids(&bed).await, first);

    let (decided, said) = bed.verb(&["accept-loss", "--yes"]).await;
    assert!(decided && said.contains("from offset 20 on they are not the same"), "{said}");
    assert!(said.contains("lost records: 10 accepted"), "{said}");
    bed.settled(60).await;
    runs(&running).await;
    running.stop().await;
    assert_eq!(event_ids(&bed).await, [first[..20].to_vec(), second].concat());
    assert!(bed.verb(&["audit"]).await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_brokers_data() {
    let bed = Bed::on(Arc::new(Stack::start(StackOptions::default()).await.unwrap()), &[]).await;
    let first = send(&bed, 30).await;
    let running = bed.projector().await;
    bed.settled(30).await;
    let broker = &bed.stack.kafka.process;
    let backup = tempfile::tempdir().unwrap();
    broker.stop().await;
    copy(&log_dir(&bed), backup.path()).unwrap();
    broker.start();
    broker.ready(START).await.unwrap();
    let second = send(&bed, 50).await;
    bed.verdicts(80).await;

    broker.stop().await;
    std::fs::remove_dir_all(log_dir(&bed)).unwrap();
    copy(backup.path(), &log_dir(&bed)).unwrap();
    broker.start();
    broker.ready(START).await.unwrap();
    refused(&running, "the log ends at 30").await;
    let third = send(&bed, 60).await;
    refused(&running, "is not the one that was judged").await;
    assert_eq!(event_ids(&bed).await, [first.clone(), second].concat());

    let (decided, said) = bed.verb(&["accept-loss", "--yes"]).await;
    assert!(decided && said.contains("lost records: 50 accepted"), "{said}");
    bed.settled(90).await;
    runs(&running).await;
    // What comes now is read, too: the broker's epochs are lower than those that the consumer has seen.
    let fourth = send(&bed, 5).await;
    bed.settled(95).await;
    running.stop().await;
    assert_eq!(event_ids(&bed).await, [first, third, fourth].concat());
    assert!(bed.verb(&["audit"]).await.0);
}
