//! A whole pipeline for one test: a topic and a database of its own, services of its own, on a stack
//! that the test binary shares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::Row;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use local_stack::{ClickHouseOptions, Stack, StackOptions};

use crate::demo::{self, Receipt};
use crate::services::{Passwords, Service, Settings};

/// How long anything may take before a test gives up: generous, because a time never decides a test.
const PATIENCE: Duration = Duration::from_secs(300);

/// The application of the local stack and its key.
pub const KEY: &str = "demo-key";

pub struct Pipeline {
    pub stack: Arc<Stack>,
    pub settings: Settings,
    pub ingest: Service,
    pub projectors: Vec<Service>,
    pub query_api: Service,
    producer: FutureProducer,
    http: reqwest::Client,
}

/// The verdict on one offset.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Verdict {
    pub partition: u16,
    pub offset: u64,
    /// `accepted`, `duplicate`, `absent`, or the first reason of a rejection.
    pub outcome: String,
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: uuid::Uuid,
}

/// (partition, offset)
pub type Place = (u16, u64);

impl Pipeline {
    /// One projector, on the stack that all tests of the binary share.
    pub async fn start() -> Self {
        Self::start_with(None, &[]).await
    }

    /// As [`start`](Self::start), with more event types and further settings.
    pub async fn start_with(event_types: Option<PathBuf>, environment: &[(&str, &str)]) -> Self {
        static SHARED: OnceCell<Arc<Stack>> = OnceCell::const_new();
        let start =
            async || Arc::new(Stack::start(StackOptions::default()).await.expect("the local stack starts"));
        let stack = SHARED.get_or_init(start).await;
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Self::start_as(Arc::clone(stack), 1, None, event_types, environment.collect()).await
    }

    /// On a stack of the test's own, which it may break. `clickhouse` is where the projectors find
    /// ClickHouse, if not at its own address (a proxy, say).
    pub async fn start_on(stack: Arc<Stack>, projectors: usize, clickhouse: Option<String>) -> Self {
        Self::start_as(stack, projectors, clickhouse, None, Vec::new()).await
    }

    /// On a stack of the test's own with so many ClickHouse servers as shards.
    pub async fn start_on_shards(shards: u16, projectors: usize) -> Self {
        let clickhouse = ClickHouseOptions { shards, ..ClickHouseOptions::default() };
        let stack = Stack::start(StackOptions { clickhouse, ..StackOptions::default() }).await;
        Self::start_on(Arc::new(stack.expect("the shards start")), projectors, None).await
    }

    async fn start_as(
        stack: Arc<Stack>,
        projectors: usize,
        clickhouse: Option<String>,
        event_types: Option<PathBuf>,
        environment: Vec<(String, String)>,
    ) -> Self {
        // The users of ClickHouse have rights on what is called eye.
        let name = format!("eye_{}", uuid::Uuid::new_v4().simple());
        let logs = stack.data().join(&name);
        std::fs::create_dir_all(&logs).expect("a directory for logs");
        let options = StackOptions::default();
        let direct = Settings {
            kafka: stack.kafka.address(),
            clickhouse: stack.clickhouse.url(),
            cluster: stack.clickhouse.cluster(),
            passwords: Passwords::of(&stack.clickhouse),
            topic: format!("eye.{name}"),
            database: name,
            event_types,
            environment,
            logs,
            restart: options.restart,
            on_event: options.on_event,
        };
        direct.projector_verb(&["migrate"]).await.expect("migrate");
        let settings = Settings {
            clickhouse: clickhouse.unwrap_or_else(|| direct.clickhouse.clone()),
            ..direct.clone()
        };
        let ingest = direct.ingest(0).expect("ingest starts");
        let projectors: Vec<Service> = (1..=projectors)
            .map(|n| settings.projector(&format!("projector-{n}"), 0).expect("a projector starts"))
            .collect();
        let query_api = direct.query_api(0).expect("query-api starts");
        for service in projectors.iter().chain([&ingest, &query_api]) {
            service.ready().await.expect("a service gets ready");
        }
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &direct.kafka)
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        Self {
            stack,
            settings: direct,
            ingest,
            projectors,
            query_api,
            producer,
            http: reqwest::Client::new(),
        }
    }

    /// `GET` on the query API, whatever the answer.
    pub async fn ask(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.query_api.url());
        let response = self.http.get(&url).send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body}")))
    }

    /// `GET` on the query API; the answer must be 200.
    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(path).await;
        assert_eq!(status, 200, "{path}: {answer}\n{}", self.query_api.log_end(10));
        answer
    }

    /// `POST /events`, whatever the answer.
    pub async fn post(&self, content_type: &str, body: &str) -> (u16, Value) {
        let request = self.request(content_type).body(body.to_string());
        let response = request.send().await.expect("the gateway answers");
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// A `POST /events` to put headers and a body to.
    pub fn request(&self, content_type: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/events", self.ingest.url());
        self.http.post(url).bearer_auth(KEY).header("content-type", content_type)
    }

    /// Sends events through the gateway; all must be taken.
    pub async fn send(&self, events: &[String]) -> Vec<Receipt> {
        demo::send(&self.ingest.url(), KEY, events).await.expect("the gateway takes the events")
    }

    /// Writes one record straight to Kafka.
    pub async fn produce(&self, key: &str, value: Option<&[u8]>, app: &str) -> Place {
        self.produce_with(key, value, Header { key: "app", value: Some(app) }).await
    }

    /// Asks the log to erase a session.
    pub async fn erase(&self, session: uuid::Uuid) -> Place {
        let erase = Header { key: "erase", value: Some("session") };
        self.produce_with(&session.to_string(), None, erase).await
    }

    async fn produce_with(&self, key: &str, value: Option<&[u8]>, header: Header<'_, &str>) -> Place {
        let headers = OwnedHeaders::new().insert(header);
        let mut record = FutureRecord::to(&self.settings.topic).key(key).headers(headers);
        record.payload = value;
        let delivery =
            self.producer.send(record, PATIENCE).await.map_err(|(error, _)| error).expect("delivered");
        (delivery.partition as u16, delivery.offset as u64)
    }

    /// The first offset after the log's end, of each partition.
    pub fn log_ends(&self) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &self.settings.kafka).create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(&self.settings.topic), PATIENCE).expect("metadata");
        let partitions = metadata.topics()[0].partitions().iter().map(|partition| partition.id());
        partitions
            .map(|id| {
                (id, consumer.fetch_watermarks(&self.settings.topic, id, PATIENCE).expect("watermarks").1)
            })
            .collect()
    }

    /// Waits until the answers, also those on order, include everything that is in the log now.
    pub async fn settled(&self) {
        self.includes_everything("/v1/order/transitions?limit=1").await;
    }

    /// Waits until the answer to a question includes everything that is in the log now.
    pub async fn includes_everything(&self, question: &str) {
        let ends = self.log_ends();
        let start = Instant::now();
        loop {
            let answer = self.get(question).await;
            let positions = &answer["as_of"]["positions"];
            let position = |id: &i32| positions[id.to_string()].as_i64().unwrap_or(0);
            let behind: Vec<_> = ends
                .iter()
                .map(|(id, end)| (*id, position(id), *end))
                .filter(|(_, at, end)| at < end)
                .collect();
            if behind.is_empty() {
                return;
            }
            if start.elapsed() > PATIENCE {
                let logs: Vec<String> =
                    self.projectors.iter().map(|projector| projector.log_end(30)).collect();
                panic!("behind (partition, position, log end): {behind:?}\n{}", logs.join("\n---\n"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every verdict there is, by place. Two for one offset fail the test.
    pub async fn verdicts(&self) -> BTreeMap<Place, Verdict> {
        let views = &self.settings.database;
        let sql = format!(
            "SELECT l.partition AS partition, l.offset AS offset, \
                 if(l.verdict = 'rejected', r.reasons[1].1, toString(l.verdict)) AS outcome, l.event_id AS event_id \
             FROM {views}.ledger AS l LEFT JOIN {views}.rejections AS r USING (partition, offset)"
        );
        let rows: Vec<Verdict> = self.clickhouse().query(&sql).fetch_all().await.expect("the ledger");
        let count = rows.len();
        let map: BTreeMap<Place, Verdict> =
            rows.into_iter().map(|row| ((row.partition, row.offset), row)).collect();
        assert_eq!(map.len(), count, "an offset has more than one verdict");
        map
    }

    /// The raw bytes that a rejection keeps.
    pub async fn raw(&self, (partition, offset): Place) -> Vec<u8> {
        let sql = format!(
            "SELECT hex(raw) FROM {}.rejections WHERE partition = {partition} AND offset = {offset}",
            self.settings.database
        );
        let hex: String = self.clickhouse().query(&sql).fetch_one().await.expect("the rejection");
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// As the writer.
    pub fn clickhouse(&self) -> clickhouse::Client {
        self.writer_of(&self.settings.clickhouse)
    }

    /// As the writer, of one of several shards.
    pub fn writer_of(&self, url: &str) -> clickhouse::Client {
        let password = std::fs::read_to_string(&self.settings.passwords.writer).expect("a password");
        clickhouse::Client::default().with_url(url).with_user("writer").with_password(password)
    }
}

/// Tries until there is a value; panics after `within`.
pub async fn eventually<T>(within: Duration, attempt: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(start.elapsed() < within, "nothing after {within:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
