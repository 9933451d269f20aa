//! What the tests share: a stack, a topic and a database for each test, records, a projector in the test's process.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Parser;
use clickhouse::Client;
use infra::kafka::TopicConfig;
use local_stack::{Stack, StackOptions};
use projector::ProjectorConfig;
use projector::cli::{Cli, Command};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a test waits. Generous, so that no test depends on the machine's speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `check` returns a value. Panics with `what` otherwise.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never happened: {what}");
}

/// The stack that all tests share. `EYE_TEST_SHARDS` says how many ClickHouse servers it has. It ends with the process.
pub(crate) fn shared() -> Arc<Stack> {
    static STACK: OnceLock<Arc<Stack>> = OnceLock::new();
    STACK
        .get_or_init(|| {
            std::thread::spawn(|| {
                let runtime = Box::leak(Box::new(tokio::runtime::Runtime::new().unwrap()));
                let mut options = StackOptions::default();
                // The broker removes a silent member after two seconds, so that tests wait less.
                options.kafka.properties = [
                    ("group.consumer.min.session.timeout.ms", "1000"),
                    ("group.consumer.session.timeout.ms", "2000"),
                    ("group.consumer.min.heartbeat.interval.ms", "300"),
                    ("group.consumer.heartbeat.interval.ms", "500"),
                ]
                .map(|(key, value)| (key.into(), value.into()))
                .into();
                let shards = std::env::var("EYE_TEST_SHARDS").map(|shards| shards.parse().expect("a number"));
                options.clickhouse.shards = shards.unwrap_or(1);
                Arc::new(runtime.block_on(Stack::start(options)).expect("the stack starts"))
            })
            .join()
            .unwrap()
        })
        .clone()
}

/// The topic and the database of a test.
pub(crate) struct Bed {
    pub stack: Arc<Stack>,
    pub config: ProjectorConfig,
    pub producer: FutureProducer,
    _apps: tempfile::TempDir,
}

impl Bed {
    /// A bed on the shared stack, with one partition and tables of generation 1 that serve.
    pub(crate) async fn new(arguments: &[&str]) -> Self {
        Self::on(tokio::task::spawn_blocking(shared).await.unwrap(), arguments).await
    }

    pub(crate) async fn on(stack: Arc<Stack>, arguments: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (topic, database) = (format!("eye.events.{number}"), format!("eye_t{number}"));
        let apps = tempfile::tempdir().unwrap();
        let file = apps.path().join("apps.toml");
        std::fs::write(&file, "[[app]]\nname = \"demo\"\n").unwrap();
        let (brokers, clickhouse) = (stack.kafka.address(), stack.clickhouse.arguments("writer"));
        let mut line = vec![
            "projector",
            "run",
            "--listen",
            "127.0.0.1:0",
            "--kafka-brokers",
            &brokers,
            "--topic",
            &topic,
            "--clickhouse-database",
            &database,
        ];
        let apps_file = file.to_str().unwrap();
        line.extend(["--apps", apps_file, "--group", &database]);
        line.extend(clickhouse.iter().map(String::as_str));
        line.extend(arguments);
        let Command::Run(config) = Cli::parse_from(line).command else { unreachable!() };
        let config = *config;
        let topic = TopicConfig { partitions: 1, replication: 1, min_in_sync: 1 };
        infra::kafka::create_topic(&config.kafka, &topic).await.unwrap();
        tables::migrate(&config.clickhouse, 1).await.unwrap();
        tables::serve(&config.clickhouse, 1).await.unwrap();
        let producer = config.kafka.client(&[("linger.ms", "1")]).create().unwrap();
        Self { stack, config, producer, _apps: apps }
    }

    /// Gives the topic more partitions.
    pub(crate) async fn widen(&self, partitions: usize) {
        let admin: AdminClient<DefaultClientContext> = self.config.kafka.client(&[]).create().unwrap();
        let topic = &self.config.kafka.topic;
        let more = [NewPartitions::new(topic, partitions)];
        admin.create_partitions(&more, &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    }

    /// The rows of ledger, events and rejections.
    pub(crate) async fn rows(&self) -> [u64; 3] {
        let mut rows = [0; 3];
        for (count, table) in rows.iter_mut().zip(["ledger", "events", "rejections"]) {
            let sql = format!("SELECT count() FROM {table}");
            *count = self.tables().query(&sql).fetch_one().await.unwrap();
        }
        rows
    }

    pub(crate) fn tables(&self) -> Client {
        self.config.clickhouse.client().with_database(self.config.clickhouse.generation(1))
    }

    /// The program `projector`, with this bed's settings.
    pub(crate) fn program(&self, arguments: &[&str]) -> std::process::Command {
        let config = &self.config;
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_projector"));
        command
            .args(arguments)
            .env("EYE_KAFKA_BROKERS", &config.kafka.brokers)
            .env("EYE_TOPIC", &config.kafka.topic)
            .env("EYE_CLICKHOUSE_USER", &config.clickhouse.user)
            .env("EYE_CLICKHOUSE_PASSWORD", config.clickhouse.password())
            .env("EYE_CLICKHOUSE_DATABASE", &config.clickhouse.database)
            .env("EYE_PROJECTOR_GROUP", &config.group.group)
            .env("EYE_APPS", config.judge.apps.as_ref().unwrap());
        match &config.clickhouse.cluster {
            None => command.env("EYE_CLICKHOUSE_URL", &config.clickhouse.url),
            Some(cluster) => command
                .env("EYE_CLICKHOUSE_CLUSTER", cluster)
                .env("EYE_CLICKHOUSE_NODES", config.clickhouse.nodes.join(",")),
        };
        command
    }

    /// Starts the program `projector run`, which dies with the test.
    pub(crate) fn process(&self, arguments: &[&str], stderr: Stdio) -> Process {
        let port = local_stack::Port::claim(0, "", "").unwrap().number();
        let mut command = self.program(&["run", "--listen", &format!("127.0.0.1:{port}")]);
        command.args(arguments).stderr(stderr);
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        Process { url: format!("http://127.0.0.1:{port}"), child }
    }

    /// Runs a verb to its end. Returns whether it succeeded, and what it printed.
    pub(crate) async fn verb(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = tokio::process::Command::from(self.program(arguments));
        let output =
            tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    }

    pub(crate) async fn projector(&self) -> Running {
        self.projector_with(self.config.clone()).await
    }

    pub(crate) async fn projector_with(&self, config: ProjectorConfig) -> Running {
        let listener = TcpListener::bind(config.listen).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(projector::serve(config, listener, shutdown));
        Running { stop, task, url }
    }

    /// Writes one record to partition 0 and returns its offset.
    pub(crate) async fn send(&self, value: &[u8]) -> u64 {
        self.send_with(Some(value), OwnedHeaders::new().insert(Header { key: "app", value: Some("demo") }))
            .await
    }

    pub(crate) async fn send_with(&self, value: Option<&[u8]>, headers: OwnedHeaders) -> u64 {
        let mut record =
            FutureRecord::<[u8], [u8]>::to(&self.config.kafka.topic).partition(0).headers(headers);
        if let Some(value) = value {
            record = record.payload(value);
        }
        let delivery = self.producer.send(record, PATIENCE).await.map_err(|(error, _)| error).unwrap();
        delivery.offset as u64
    }

    /// Writes `count` valid events with different ids.
    pub(crate) async fn send_events(&self, count: usize) {
        let values: Vec<String> = (0..count).map(|_| event(uuid::Uuid::new_v4())).collect();
        let sends = values.iter().map(|value| self.send(value.as_bytes()));
        futures::future::join_all(sends).await;
    }

    /// Waits until the ledger has a verdict for every offset below `end`. Returns for each offset the verdict and, for
    /// a rejection, its reasons.
    pub(crate) async fn verdicts(&self, end: u64) -> Vec<String> {
        let tables = self.tables();
        eventually(&format!("a verdict for each of {end} offsets"), || async {
            let found: u64 =
                tables.query("SELECT uniqExact(offset) FROM ledger").fetch_one().await.unwrap_or(0);
            (found >= end).then_some(())
        })
        .await;
        eventually("the rejections", || async {
            let rows: Vec<String> = tables
                .query(
                    "SELECT concat(toString(l.verdict), if(l.verdict = 'duplicate', concat(' of ', toString(l.first_offset)), ''), \
                     if(empty(r.codes), '', concat(' ', r.codes))) \
                     FROM ledger AS l LEFT JOIN \
                     (SELECT offset, arrayStringConcat(reasons.code, ',') AS codes FROM rejections) AS r USING offset \
                     ORDER BY l.offset",
                )
                .fetch_all()
                .await
                .ok()?;
            rows.iter().all(|row| row != "rejected").then_some(rows)
        })
        .await
    }

    /// Waits until everything below `end` is settled: the group has committed it without an intent.
    pub(crate) async fn settled(&self, end: u64) {
        eventually(&format!("offset {end} committed"), || async {
            (self.committed().await? == (end as i64, String::new())).then_some(())
        })
        .await;
    }

    pub(crate) async fn committed(&self) -> Option<(i64, String)> {
        use rdkafka::consumer::{BaseConsumer, Consumer};
        let config = self.config.clone();
        tokio::task::spawn_blocking(move || {
            let group = config.group_of(1);
            let consumer: BaseConsumer = config.kafka.client(&[("group.id", &group)]).create().ok()?;
            let mut list = rdkafka::TopicPartitionList::new();
            list.add_partition(&config.kafka.topic, 0);
            let found = consumer.committed_offsets(list, Duration::from_secs(10)).ok()?;
            let element = &found.elements()[0];
            Some((element.offset().to_raw()?, element.metadata().to_owned()))
        })
        .await
        .unwrap()
    }

    /// The rows of each of the three tables, and how many different offsets they have.
    pub(crate) async fn counts(&self) -> [(u64, u64); 3] {
        let mut counts = [(0, 0); 3];
        for (count, table) in counts.iter_mut().zip(["ledger", "events", "rejections"]) {
            let sql = format!("SELECT count(), uniqExact(offset) FROM {table}");
            *count = self.tables().query(&sql).fetch_one().await.unwrap();
        }
        counts
    }

    /// Waits for these counts.
    pub(crate) async fn has(&self, expected: [(u64, u64); 3]) {
        eventually(&format!("{expected:?}"), || async { (self.counts().await == expected).then_some(()) })
            .await;
    }

    /// Inserts the rows of a round below offset `end` again, as a projector would that slept.
    pub(crate) async fn late_insert(&self, round: &str, end: u64) {
        let database = self.config.clickhouse.generation(1);
        // ClickHouse deduplicates an INSERT SELECT only if it has an order.
        self.tables()
            .query(
                "INSERT INTO landing (targets, partition, offset, verdict, event_id, session_id, app, category, name, data, \
                 timestamp, received_at, log_time, schema_version) \
                 SELECT * FROM (SELECT 3 AS targets, partition, offset, 'accepted', event_id, session_id, app, category, \
                 name, data, timestamp, received_at, received_at, schema_version FROM events \
                 UNION ALL SELECT 5, partition, offset, 'rejected', generateUUIDv4(), generateUUIDv4(), '', '', '', '', \
                 now64(6), now64(6), now64(3), 0 FROM rejections) WHERE offset < {end:UInt64} ORDER BY partition, offset",
            )
            .param("end", end)
            .with_setting("insert_deduplication_token", format!("{database}:{}:{round}", self.config.kafka.topic))
            .with_setting("insert_deduplicate", "1")
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with_setting("async_insert", "0")
            .execute()
            .await
            .unwrap();
    }

    /// Runs a statement on every server, on its own tables.
    pub(crate) async fn execute(&self, sql: &str) {
        let own = tables::cluster::own(&self.config.clickhouse, 1);
        for server in self.config.clickhouse.clients() {
            let server = server.with_database(&own);
            server.query(sql).with_setting("mutations_sync", "2").execute().await.expect(sql);
        }
    }
}

pub(crate) fn event(event_id: uuid::Uuid) -> String {
    format!(
        r#"{{"session_id":"e2085be5-9137-4e4e-80b5-f1ffddc25423","category":"page interaction","name":"pageview","data":{{"host":"www.example.com","path":"/"}},"timestamp":"2021-01-01 09:15:27.243860","event_id":"{event_id}"}}"#
    )
}

/// A projector that runs in a process of its own.
pub(crate) struct Process {
    pub url: String,
    child: tokio::process::Child,
}

impl Process {
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    pub(crate) async fn stop(mut self) {
        self.signal(Signal::TERM);
        self.child.wait().await.unwrap();
    }
}

/// A projector that runs in this process.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    pub task: JoinHandle<anyhow::Result<()>>,
    pub url: String,
}

impl Running {
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
    }
}
