//! What happens to the log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use harness::Pipeline;
use infra::kafka::{KafkaConfig, TopicConfig, create_topic};
use local_stack::START;
use local_stack::harm::{copy, cut_batches};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const KINDS: [&str; 7] = [
    "the topic is made anew",
    "the last records are lost",
    "an older copy is restored",
    "records are deleted unread",
    "a transaction is left open",
    "a partition is added",
    "the broker goes silent",
];
/// More partitions than this are not added.
const MOST: usize = 24;

pub(super) struct Faults {
    counts: BTreeMap<&'static str, u64>,
    backup: tempfile::TempDir,
}

impl Faults {
    pub(super) async fn new(pipeline: &Pipeline) -> Self {
        let faults = Self { counts: BTreeMap::new(), backup: tempfile::tempdir().unwrap() };
        faults.back_up(pipeline).await;
        faults
    }

    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub(super) async fn inject(&mut self, pipeline: &Pipeline, random: &mut fastrand::Rng) -> &'static str {
        // All of them before any of them again.
        let least = KINDS.iter().map(|kind| self.counts.get(kind).copied().unwrap_or(0)).min().unwrap_or(0);
        let left: Vec<&str> =
            KINDS.into_iter().filter(|kind| self.counts.get(kind).copied().unwrap_or(0) == least).collect();
        let kind = left[random.usize(..left.len())];
        *self.counts.entry(kind).or_default() += 1;
        let broker = &pipeline.stack.kafka.process;
        match kind {
            "the topic is made anew" => make_anew(pipeline).await,
            "the last records are lost" => {
                broker.kill().await;
                for directory in partitions(pipeline) {
                    cut_batches(&directory, random.usize(1..20)).unwrap();
                }
                for checkpoint in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
                    let _ = std::fs::remove_file(log(pipeline).join(checkpoint));
                }
                broker.start();
                broker.ready(START).await.expect("the broker comes back");
            }
            "an older copy is restored" => {
                broker.stop().await;
                std::fs::remove_dir_all(log(pipeline)).unwrap();
                copy(self.backup.path(), &log(pipeline)).unwrap();
                broker.start();
                broker.ready(START).await.expect("the broker comes back");
            }
            "records are deleted unread" => delete_unread(pipeline).await,
            "a transaction is left open" => leave_open(pipeline).await,
            "a partition is added" => {
                let count = pipeline.log_ends().len();
                if count < MOST {
                    let more = [NewPartitions::new(&pipeline.settings.topic, count + 1)];
                    let _ = admin(pipeline).create_partitions(&more, &AdminOptions::new()).await;
                }
            }
            _ => {
                broker.pause();
                tokio::time::sleep(Duration::from_secs(12)).await;
                broker.resume();
            }
        }
        if random.u8(..3) == 0 {
            self.back_up(pipeline).await;
        }
        kind
    }

    async fn back_up(&self, pipeline: &Pipeline) {
        let broker = &pipeline.stack.kafka.process;
        broker.stop().await;
        std::fs::remove_dir_all(self.backup.path()).unwrap();
        copy(&log(pipeline), self.backup.path()).unwrap();
        broker.start();
        broker.ready(START).await.expect("the broker comes back");
    }
}

fn admin(pipeline: &Pipeline) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &pipeline.settings.kafka).create().expect("an admin client")
}

fn log(pipeline: &Pipeline) -> PathBuf {
    pipeline.stack.data().join("kafka/log")
}

/// The directories of the topic's partitions.
fn partitions(pipeline: &Pipeline) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(log(pipeline)).unwrap().map(|entry| entry.unwrap().path());
    let prefix = format!("{}-", pipeline.settings.topic);
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix(&prefix)?.parse::<u16>().ok();
    entries.filter(|path| number(path).is_some()).collect()
}

async fn make_anew(pipeline: &Pipeline) {
    let topic = &pipeline.settings.topic;
    let _ = admin(pipeline).delete_topics(&[topic], &AdminOptions::new()).await;
    let kafka =
        KafkaConfig { brokers: pipeline.settings.kafka.clone(), topic: topic.clone(), options: vec![] };
    let shape = TopicConfig { partitions: 16, replication: 1, min_in_sync: 1 };
    let exists = || {
        let metadata = admin(pipeline).inner().fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
        (metadata.topics()[0].partitions().len() == 16).then_some(())
    };
    // A topic that is being deleted still exists.
    harness::eventually(Duration::from_secs(60), async || {
        create_topic(&kafka, &shape).await.ok()?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        exists()
    })
    .await;
}

/// The projectors sleep, and wake up behind records that are gone.
async fn delete_unread(pipeline: &Pipeline) {
    let pause = |is_paused: bool| {
        for projector in &pipeline.projectors {
            if is_paused { projector.process.pause() } else { projector.process.resume() }
        }
    };
    pause(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut gone = TopicPartitionList::new();
    for (partition, end) in pipeline.log_ends() {
        gone.add_partition_offset(&pipeline.settings.topic, partition, Offset::Offset((end - 1).max(0)))
            .unwrap();
    }
    let _ = admin(pipeline).delete_records(&gone, &AdminOptions::new()).await;
    pause(false);
}

/// A producer dies in the middle of a transaction; the broker ends it later.
async fn leave_open(pipeline: &Pipeline) {
    let (kafka, topic) = (pipeline.settings.kafka.clone(), pipeline.settings.topic.clone());
    let left = tokio::task::spawn_blocking(move || {
        let wait = Duration::from_secs(20);
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &kafka)
            .set("transactional.id", format!("left-open-{}", uuid::Uuid::new_v4()))
            .set("transaction.timeout.ms", "10000")
            .create()
            .expect("a producer");
        producer.init_transactions(wait)?;
        producer.begin_transaction()?;
        let _ = producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("{}"));
        producer.flush(wait)
    });
    let _ = left.await.unwrap();
}
