//! Everything, started in order and stopped in reverse.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use harness::demo;
use harness::services::{Passwords, Service, Settings};
use indicatif::{ProgressBar, ProgressStyle};
use local_stack::supervise::{Event, OnEvent, Restart};
use local_stack::{ClickHouseOptions, KafkaOptions, Stack, StackOptions};

use crate::Ports;

const KEY: &str = "demo-key";
/// How long the demo data may take to be answered. Generous: the machine may be busy.
const ANSWERED: Duration = Duration::from_secs(300);

pub(crate) struct Whole {
    stack: Stack,
    ingest: Service,
    projector: Service,
    query_api: Service,
}

impl Whole {
    /// Starts the parts, makes topic and tables, starts the services and replays the demo data.
    /// `data`: kept, or `None` for temporary data.
    pub(crate) async fn start(
        data: Option<PathBuf>,
        event_types: Option<PathBuf>,
        demo: bool,
        shards: u16,
        ports: Ports,
    ) -> anyhow::Result<Self> {
        if let Some(dir) = &event_types {
            ensure!(dir.is_dir(), "EVENT_TYPES: there is no directory {}", dir.display());
        }
        let on_event: OnEvent = Arc::new(|event| {
            if matches!(event, Event::Ready { .. } | Event::Died { .. }) {
                eprintln!("{event}");
            }
        });
        let stack = Stack::start(StackOptions {
            data,
            kafka: KafkaOptions { port: ports.kafka_port, ..KafkaOptions::default() },
            clickhouse: ClickHouseOptions {
                port: ports.clickhouse_port,
                native_port: ports.clickhouse_native_port,
                shards,
                ..ClickHouseOptions::default()
            },
            restart: Restart::Backoff,
            on_event: Arc::clone(&on_event),
        })
        .await?;
        let settings = Settings {
            environment: Vec::new(),
            kafka: stack.kafka.address(),
            clickhouse: stack.clickhouse.url(),
            cluster: stack.clickhouse.cluster(),
            passwords: Passwords::of(&stack.clickhouse),
            topic: "eye.events".into(),
            database: "eye".into(),
            event_types,
            logs: stack.data().to_owned(),
            restart: Restart::Backoff,
            on_event,
        };
        settings.projector_verb(&["migrate"]).await?;
        let ingest = settings.ingest(ports.ingest_port)?;
        let projector = settings.projector("projector", ports.projector_port)?;
        let query_api = settings.query_api(ports.query_port)?;
        for service in [&ingest, &projector, &query_api] {
            service.ready().await?;
        }
        let whole = Self { stack, ingest, projector, query_api };
        if demo {
            whole.replay().await?;
        }
        Ok(whole)
    }

    async fn replay(&self) -> anyhow::Result<()> {
        let style =
            ProgressStyle::with_template("demo data  {bar:30} {human_pos}/{human_len} events, {eta} left")?;
        let bar = ProgressBar::no_length().with_style(style);
        let last = demo::replay(&self.ingest.url(), KEY, &self.stack.data().join("demo-sent"), &bar).await?;
        bar.finish_and_clear();
        // Answered: the last positions that the gateway gave out are in what the API answers.
        let answered = async {
            while !self.includes(&last).await? {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(ANSWERED, answered).await.context("the demo data is sent, but not answered")?
    }

    /// Whether the answers, also those on order, include these positions.
    async fn includes(&self, positions: &BTreeMap<i32, i64>) -> anyhow::Result<bool> {
        let url = format!("{}/v1/order/entries?limit=1", self.query_api.url());
        let answer: serde_json::Value = reqwest::get(url).await?.error_for_status()?.json().await?;
        let included = &answer["as_of"]["positions"];
        Ok(positions.iter().all(|(partition, offset)| {
            included[partition.to_string()].as_i64().is_some_and(|position| position > *offset)
        }))
    }

    /// Says where to look and how to begin.
    pub(crate) fn introduce(&self, demo: bool) {
        let (ingest, query) = (self.ingest.url(), self.query_api.url());
        println!("console     {query}/");
        println!("query API   {query}/v1/features");
        println!("gateway     {ingest}/events  (application demo, key {KEY})");
        println!("projector   {}/metrics", self.projector.url());
        for shard in self.stack.clickhouse.shards() {
            println!("ClickHouse  {}  (user analyst without password, views in database eye)", shard.url());
            println!("            {}  (the native protocol)", shard.native_address());
        }
        println!("Kafka       {}  (topic eye.events)", self.stack.kafka.address());
        println!("data, logs  {}", self.stack.data().display());
        println!();
        println!("send a first event and read it back:");
        println!(
            "  curl -s {ingest}/events -H 'Authorization: Bearer {KEY}' -H 'Content-Type: application/json' -d '"
        );
        println!(
            "    {{\"session_id\": \"e2085be5-9137-4e4e-80b5-f1ffddc25423\", \"category\": \"page interaction\","
        );
        println!(
            "     \"name\": \"pageview\", \"data\": {{\"host\": \"www.example.com\", \"path\": \"/\"}},"
        );
        println!("     \"timestamp\": \"2021-01-01 09:15:27.243860\"}}'");
        println!("  curl -s {query}/v1/sessions/e2085be5-9137-4e4e-80b5-f1ffddc25423");
        if demo {
            println!("what is used most in the demo data:");
            println!("  curl -s '{query}/v1/features?order=most&limit=5'");
        }
        println!();
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let pid = |service: &Service| service.process.pid().unwrap_or_default().to_string();
        let mut variables = vec![
            ("EYE_URL", self.ingest.url()),
            ("EYE_QUERY_URL", self.query_api.url()),
            ("EYE_PROJECTOR_URL", self.projector.url()),
            ("EYE_PROJECTOR_PID", pid(&self.projector)),
            ("EYE_CLICKHOUSE_NATIVE", self.stack.clickhouse.native_address().to_string()),
            ("EYE_CLICKHOUSE_USER", "writer".into()),
            (
                "EYE_CLICKHOUSE_PASSWORD_FILE",
                self.stack.clickhouse.password_file("writer").display().to_string(),
            ),
            ("EYE_KAFKA", self.stack.kafka.address()),
            ("EYE_KEY", KEY.into()),
        ];
        match self.stack.clickhouse.cluster() {
            None => variables.push(("EYE_CLICKHOUSE_URL", self.stack.clickhouse.url())),
            Some((name, nodes)) => variables
                .extend([("EYE_CLICKHOUSE_CLUSTER", name.into()), ("EYE_CLICKHOUSE_NODES", nodes.join(","))]),
        }
        variables
    }

    /// In the direction of the events, so that each drains into the next.
    pub(crate) async fn stop(self) {
        self.ingest.process.stop().await;
        self.projector.process.stop().await;
        self.query_api.process.stop().await;
        self.stack.stop().await;
    }
}
