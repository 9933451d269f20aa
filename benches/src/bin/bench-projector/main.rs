//! What projecting costs: `make bench-projector`.
//!
//! The deployed program projects a log of realistic events into the real engine, with validation and exactly once. The
//! reference of the same run is ClickHouse's own Kafka engine, tuned, at least once and without validation, on the same
//! log. Then the freshness at two rates.
//!
//! # Layout
//! - [`full_log`]: a million events from a full log: the projector, and the Kafka engine
//! - [`freshness`]: the time from append to queryable

mod freshness;
mod full_log;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use benches::load::Load;
use clap::Parser;
use infra::kafka::KafkaConfig;
use local_stack::supervise::{Restart, Spec};
use local_stack::{KafkaOptions, Port, Ready, START, Stack, StackOptions, Supervised};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the projector.
#[derive(Debug, Parser)]
struct Cli {
    /// Events in the full log.
    #[arg(long, env = "EVENTS", default_value_t = 1_000_000)]
    events: usize,
    /// Seconds at each rate of the freshness.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// Only the parts whose name contains this: projector, kafka_engine, freshness.
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let wanted = |part: &str| part.contains(&cli.only);
    let options = StackOptions {
        kafka: KafkaOptions { fast: true, ..KafkaOptions::default() },
        ..StackOptions::default()
    };
    let bench = Bench { stack: Stack::start(options).await?, dir: tempfile::tempdir()? };
    Load::write_event_types(&bench.event_types())?;
    std::fs::write(bench.apps(), "[[app]]\nname = \"demo\"\n")?;
    // In turn, so that a slow minute of the machine hits both.
    let (mut of_projector, mut of_kafka_engine) = (Vec::new(), Vec::new());
    for topic in ["full1", "full2", "full3"] {
        if wanted("projector") || wanted("kafka_engine") {
            full_log::fill(&bench, topic, cli.events)?;
        }
        if wanted("projector") {
            of_projector.push(full_log::projector(&bench, topic, cli.events).await?);
        }
        if wanted("kafka_engine") {
            of_kafka_engine.push(full_log::kafka_engine(&bench, topic, cli.events).await?);
        }
    }
    medians(&of_projector);
    medians(&of_kafka_engine);
    if wanted("freshness") {
        for rate in [100, 1_000] {
            freshness::measure(&bench, rate, Duration::from_secs(cli.seconds)).await?;
        }
    }
    bench.stack.stop().await;
    Ok(())
}

/// Name, value, unit.
type Figure = (&'static str, f64, &'static str);

/// Prints the medians of runs that have the same figures in the same order.
fn medians(runs: &[Vec<Figure>]) {
    for (nth, (name, _, unit)) in runs.first().into_iter().flatten().enumerate() {
        let mut values: Vec<f64> = runs.iter().map(|run| run[nth].1).collect();
        values.sort_unstable_by(f64::total_cmp);
        figure(name, values[values.len() / 2], unit);
    }
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.2} {unit}");
}

struct Bench {
    stack: Stack,
    dir: tempfile::TempDir,
}

impl Bench {
    fn event_types(&self) -> PathBuf {
        self.dir.path().join("event-types")
    }

    fn apps(&self) -> PathBuf {
        self.dir.path().join("apps.toml")
    }

    fn kafka(&self, topic: &str) -> KafkaConfig {
        KafkaConfig { brokers: self.stack.kafka.address(), topic: topic.into(), options: vec![] }
    }

    /// The database of the views that belong to a topic.
    fn database(topic: &str) -> String {
        format!("eye_{topic}")
    }

    fn tables(&self, topic: &str) -> anyhow::Result<clickhouse::Client> {
        let password = std::fs::read_to_string(self.stack.clickhouse.password_file("writer"))?;
        Ok(clickhouse::Client::default()
            .with_url(self.stack.clickhouse.url())
            .with_user("writer")
            .with_password(password)
            .with_database(format!("{}_g1", Self::database(topic))))
    }

    fn clickhouse_pid(&self) -> anyhow::Result<u32> {
        self.stack.clickhouse.process.pid().context("ClickHouse does not run")
    }

    /// The program that `cargo build --release` made.
    fn program(&self, topic: &str, verb: &str) -> anyhow::Result<Command> {
        let path = std::env::current_exe()?.parent().unwrap_or(Path::new(".")).join("projector");
        ensure!(path.exists(), "{} is not built: run `make bench-projector`", path.display());
        let mut command = Command::new(path);
        command
            .arg(verb)
            .env("EYE_KAFKA_BROKERS", self.stack.kafka.address())
            .env("EYE_TOPIC", topic)
            .env("EYE_CLICKHOUSE_URL", self.stack.clickhouse.url())
            .env("EYE_CLICKHOUSE_USER", "writer")
            .env("EYE_CLICKHOUSE_PASSWORD_FILE", self.stack.clickhouse.password_file("writer"))
            .env("EYE_CLICKHOUSE_DATABASE", Self::database(topic))
            .env("EYE_PROJECTOR_GROUP", topic)
            .env("EYE_EVENT_TYPES", self.event_types())
            .env("EYE_APPS", self.apps());
        Ok(command)
    }

    fn migrate(&self, topic: &str) -> anyhow::Result<()> {
        let output = self.program(topic, "migrate")?.output()?;
        ensure!(output.status.success(), "migrate: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// A running projector and the address of its metrics.
    async fn projector(&self, topic: &str) -> anyhow::Result<(Supervised, String)> {
        let port = Port::claim(0, "the projector", "")?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port.number()));
        let mut command = self.program(topic, "run")?;
        command.arg("--listen").arg(address.to_string());
        let process = Supervised::spawn(Spec {
            name: "projector".into(),
            command,
            log: self.dir.path().join("projector.log"),
            ready: Ready::Http(address, "/healthz".into()),
            restart: Restart::Never,
            grace: Duration::from_secs(15),
            on_event: Arc::new(|event| {
                if let local_stack::supervise::Event::Died { .. } = event {
                    eprintln!("{event}");
                }
            }),
        })?;
        process.ready(START).await?;
        Ok((process, format!("http://{address}")))
    }
}
