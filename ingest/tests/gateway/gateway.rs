//! A gateway in this process, with a topic of its own on a broker.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use infra::kafka::{KafkaConfig, TopicConfig};
use ingest::config::Cli;
use local_stack::supervise::Restart;
use local_stack::{Kafka, KafkaOptions, START};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;

const PARTITIONS: i32 = 4;

/// The settings that a test changes.
#[derive(Default)]
pub(crate) struct Options {
    /// Further arguments of the command line.
    pub arguments: Vec<&'static str>,
    /// Further applications of the registry.
    pub apps: String,
}

pub(crate) struct Gateway {
    pub url: String,
    pub http: reqwest::Client,
    pub kafka: Arc<Kafka>,
    pub topic: String,
    pub apps: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<anyhow::Result<()>>,
    _files: tempfile::TempDir,
}

pub(crate) struct Logged {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, Vec<u8>>,
}

/// A broker of the test's own, which it may stop.
pub(crate) async fn broker() -> Arc<Kafka> {
    let data = tempfile::tempdir().unwrap();
    let kafka =
        Kafka::spawn(data.path(), &KafkaOptions::default(), Restart::Never, Arc::new(|_| {})).unwrap();
    kafka.process.ready(START).await.unwrap();
    // It goes with the machine's temporary files; the broker needs it as long as the process.
    let _ = data.keep();
    Arc::new(kafka)
}

impl Gateway {
    pub(crate) async fn start(options: Options) -> Self {
        static SHARED: OnceCell<Arc<Kafka>> = OnceCell::const_new();
        let kafka = Arc::clone(SHARED.get_or_init(broker).await);
        Self::start_on(kafka, options).await
    }

    pub(crate) async fn start_on(kafka: Arc<Kafka>, options: Options) -> Self {
        let topic = format!("t{}", uuid::Uuid::new_v4().simple());
        let config = KafkaConfig { brokers: kafka.address(), topic: topic.clone(), options: vec![] };
        let shape = TopicConfig { partitions: PARTITIONS, replication: 1, min_in_sync: 1 };
        infra::kafka::create_topic(&config, &shape).await.unwrap();

        let files = tempfile::tempdir().unwrap();
        let apps = files.path().join("apps.toml");
        let key = schemas::apps::sha256_hex(b"key");
        let app = format!(
            "[[app]]\nname = \"shop\"\nrate = 1000000\nburst = 10000000\norigins = [\"https://shop\"]\n\
             keys = [{{ sha256 = \"{key}\" }}]\n{}",
            options.apps
        );
        std::fs::write(&apps, app).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let brokers = kafka.address();
        let mut arguments = vec!["ingest", "--kafka-brokers", &brokers, "--topic", &topic, "--apps"];
        arguments.push(apps.to_str().unwrap());
        arguments.extend(&options.arguments);
        let config = Cli::try_parse_from(arguments).unwrap().config;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(ingest::serve(config, listener, async {
            let _ = stopped.await;
        }));
        Self {
            url,
            http: reqwest::Client::new(),
            kafka,
            topic,
            apps,
            stop: Some(stop),
            served,
            _files: files,
        }
    }

    /// `POST /events` with the key of `shop`.
    pub(crate) fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.http.post(format!("{}/events", self.url)).bearer_auth("key");
        request.header("content-type", content_type).body(body)
    }

    /// Sends and returns status and body.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// A metric without labels.
    async fn metric(&self, name: &str) -> u64 {
        let metrics = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }

    /// Waits until a metric without labels is as expected.
    pub(crate) async fn until(&self, name: &str, is_expected: impl Fn(u64) -> bool) {
        let expected = async { while !is_expected(self.metric(name).await) {} };
        tokio::time::timeout(Duration::from_secs(60), expected).await.expect(name);
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let _ = self.stop.take().map(|stop| stop.send(()));
        (&mut self.served).await.unwrap()
    }

    /// All records of the topic, by place.
    pub(crate) fn log(&self) -> BTreeMap<(i64, i64), Logged> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.address())
            .set("group.id", "none")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset(&self.topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let mut log = BTreeMap::new();
        let mut ended = 0;
        while ended < PARTITIONS {
            match consumer.poll(Duration::from_secs(30)).expect("the broker answers") {
                Ok(message) => {
                    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                    let headers =
                        headers.map(|h| (h.key.to_string(), h.value.unwrap_or_default().to_vec())).collect();
                    let (key, value) =
                        (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
                    let logged = Logged { key: key.to_vec(), value: value.to_vec(), headers };
                    log.insert((message.partition().into(), message.offset()), logged);
                }
                Err(rdkafka::error::KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("{error}"),
            }
        }
        log
    }
}
