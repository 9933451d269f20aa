//! A log as a projector would have projected it, and the query API over it: tables of the test's own, on
//! the real engine that the binary shares.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use clickhouse::{Client, Row};
use infra::database::ClickHouseConfig;
use local_stack::{ClickHouse, ClickHouseAlone, ClickHouseOptions, StackOptions};
use projector::servers::Servers;
use query_api::{Config, Service};
use reqwest::{RequestBuilder, Response};
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, oneshot};
use uuid::Uuid;

use crate::demo::Random;

/// An event as it is sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub event_id: Uuid,
    pub session_id: Uuid,
    pub app: String,
    pub category: String,
    pub name: String,
    pub data: String,
    /// Microseconds since 1970.
    pub time: i64,
}

/// Why a record was rejected: code, pointer, keyword, message.
type Reason = (String, String, String, String);

/// A row of `landing`.
#[derive(Debug, Clone, Row, Serialize)]
struct Landing {
    targets: u8,
    partition: u16,
    offset: u64,
    verdict: i8,
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    session_id: Uuid,
    app: String,
    category: String,
    name: String,
    data: String,
    timestamp: i64,
    sent_at: Option<i64>,
    received_at: i64,
    log_time: i64,
    schema_version: u16,
    first_offset: u64,
    reasons: Vec<Reason>,
    reasons_total: u16,
    /// Any bytes: a String in RowBinary, as an array of bytes is.
    raw: Vec<u8>,
    traceparent: String,
}

pub struct World {
    pub clickhouse: ClickHouseConfig,
    pub tables: Client,
    pub servers: Servers,
    url: String,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    /// Next offset by partition.
    ends: BTreeMap<u16, u64>,
    /// First offset by partition and event id.
    seen: HashMap<(u16, Uuid), u64>,
}

const PARTITIONS: u128 = 4;
/// 2026-01-01 in microseconds: when records reach the log, one a microsecond.
const RECEIVED: i64 = 1_767_225_600_000_000;

/// One server, or so many shards as `EYE_TEST_SHARDS` says: the answers are the same.
pub async fn engine() -> &'static ClickHouseAlone {
    static ENGINE: OnceCell<ClickHouseAlone> = OnceCell::const_new();
    ENGINE
        .get_or_init(async || {
            let shards =
                std::env::var("EYE_TEST_SHARDS").map_or(1, |shards| shards.parse().expect("a number"));
            let clickhouse = ClickHouseOptions { shards, ..ClickHouseOptions::default() };
            let options = StackOptions { clickhouse, ..StackOptions::default() };
            ClickHouseAlone::start(options).await.expect("the engine starts")
        })
        .await
}

/// A name for a database that ClickHouse's users have rights on.
pub fn new_database() -> String {
    format!("eye_{}", Uuid::new_v4().simple())
}

/// The API's settings on an engine, as one of its users: `reader`, or `writer` to make what is read.
pub fn config(engine: &ClickHouse, user: &str, database: &str) -> Config {
    // Nobody is there: the audit has to do without the log.
    let line = ["query-api", "--clickhouse-database", database, "--kafka-brokers", "127.0.0.1:1"];
    let line = line.map(String::from).into_iter().chain(engine.arguments(user));
    let mut config = <Config as clap::Parser>::parse_from(line);
    // No time decides a test, however busy the machine is.
    config.limits.time = std::time::Duration::from_secs(600);
    config
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// With other settings of the API.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(engine().await, change).await
    }

    /// On an engine of the test's own. The API asks as the reader: what it has no right to read fails here, too.
    pub async fn on(engine: &ClickHouse, change: impl FnOnce(&mut Config)) -> Self {
        let database = new_database();
        let mut config = config(engine, "reader", &database);
        change(&mut config);
        let clickhouse = self::config(engine, "writer", &database).clickhouse;
        tables::migrate(&clickhouse, 1).await.expect("migrate");
        tables::serve(&clickhouse, 1).await.expect("serve");
        let service = Service::connect(config).await.expect("connect");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(service.run(listener, async {
            let _ = stopped.await;
        }));
        Self {
            servers: Servers::new(&clickhouse, 1),
            tables: clickhouse.client().with_database(clickhouse.generation(1)).with_validation(false),
            clickhouse,
            url,
            http: reqwest::Client::new(),
            stop: Some(stop),
            ends: BTreeMap::new(),
            seen: HashMap::new(),
        }
    }

    /// Appends events to the log and inserts their verdicts, `batch` a statement. Half of the parts have projections
    /// then; the others wait for a merge, as young parts do.
    pub async fn append(&mut self, events: &[Sent], batch: usize) {
        let half = events.len().div_ceil(batch) / 2;
        for (number, chunk) in events.chunks(batch).enumerate() {
            if number == half {
                projector::keep::parts::build(&self.clickhouse, 1).await.unwrap();
            }
            let rows: Vec<Landing> = chunk.iter().map(|event| self.judged(event)).collect();
            self.insert(&rows).await;
        }
    }

    fn judged(&mut self, event: &Sent) -> Landing {
        let (partition, offset) = self.place(event.session_id);
        let first = self.seen.get(&(partition, event.event_id)).copied();
        self.seen.entry((partition, event.event_id)).or_insert(offset);
        let mut row = self.row(partition, offset, event);
        if let Some(first) = first {
            (row.targets, row.verdict, row.first_offset) = (1, 3, first);
        }
        row
    }

    fn place(&mut self, session_id: Uuid) -> (u16, u64) {
        let partition = (session_id.as_u128() % PARTITIONS) as u16;
        let end = self.ends.entry(partition).or_default();
        *end += 1;
        (partition, *end - 1)
    }

    fn row(&self, partition: u16, offset: u64, event: &Sent) -> Landing {
        let received_at = RECEIVED + self.ends.values().sum::<u64>() as i64;
        Landing {
            targets: 3,
            partition,
            offset,
            verdict: 1,
            event_id: event.event_id,
            session_id: event.session_id,
            app: event.app.clone(),
            category: event.category.clone(),
            name: event.name.clone(),
            data: event.data.clone(),
            timestamp: event.time,
            sent_at: None,
            received_at,
            log_time: received_at / 1000,
            schema_version: 1,
            first_offset: 0,
            reasons: Vec::new(),
            reasons_total: 0,
            raw: Vec::new(),
            traceparent: String::new(),
        }
    }

    /// Appends a record that is rejected for one reason.
    pub async fn reject(&mut self, event: &Sent, code: &str, pointer: &str, raw: impl Into<Vec<u8>>) {
        let (partition, offset) = self.place(event.session_id);
        let row = Landing {
            targets: 5,
            verdict: 2,
            reasons: vec![(code.into(), pointer.into(), "type".into(), "says why".into())],
            reasons_total: 1,
            raw: raw.into(),
            ..self.row(partition, offset, event)
        };
        self.insert(&[row]).await;
    }

    async fn insert(&self, rows: &[Landing]) {
        let mut insert =
            self.tables.insert::<Landing>("landing").await.unwrap().with_setting("async_insert", "0");
        for row in rows {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
    }

    /// Says that a partition was filled up to `end` by other means.
    pub fn skip_to(&mut self, partition: u16, end: u64) {
        self.ends.insert(partition, end);
    }

    /// Brings the sequences and the days of use up to the end of the log.
    pub async fn refresh(&self) {
        let ends = self.ends.clone();
        while projector::keep::sequences::refresh(&self.servers, &ends).await.unwrap().behind > 0 {}
        projector::keep::usage::refresh(&self.servers).await.unwrap();
    }

    /// Brings the sequences to some place on the way to the end of the log, and the days of use sometimes there, too.
    pub async fn refresh_partly(&self, random: &mut Random) {
        let ends = self.ends.iter().map(|(partition, end)| (*partition, random.below(end + 1))).collect();
        projector::keep::sequences::refresh(&self.servers, &ends).await.unwrap();
        if random.below(2) == 0 {
            projector::keep::usage::refresh(&self.servers).await.unwrap();
        }
    }

    /// The `as_of` of an answer that includes the whole log.
    pub fn whole_log(&self) -> Value {
        serde_json::to_value(&self.ends).unwrap()
    }

    pub fn request(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    /// An answer that must be 200.
    pub async fn get(&self, path: &str) -> Value {
        json(self.request(path).send().await.unwrap(), path).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        json(self.http.post(format!("{}{path}", self.url)).json(body).send().await.unwrap(), path).await
    }

    /// A problem: its status, code and field.
    pub async fn problem(&self, request: RequestBuilder) -> (u16, String, String) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Value = response.json().await.unwrap();
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
        let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
        (status, text("code"), text("field"))
    }

    pub fn post_request(&self, path: &str, body: &str) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body.to_owned())
    }
}

/// Asks again and again, `askers` at once, until `write` is done. `ask` says what is right. How many answers come depends
/// on the machine; one for each asker must.
pub async fn ask_during(write: impl Future<Output = ()>, askers: usize, ask: impl AsyncFn()) {
    let answers = AtomicUsize::new(0);
    let asker = async || {
        loop {
            ask().await;
            answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    let all = futures::future::join_all((0..askers).map(|_| asker()));
    tokio::select! { () = write => {} _ = all => {} }
    let answers = answers.into_inner();
    assert!(answers >= askers, "{answers} answers for {askers} askers");
}

pub async fn json(response: Response, path: &str) -> Value {
    let status = response.status();
    let body = response.text().await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}
