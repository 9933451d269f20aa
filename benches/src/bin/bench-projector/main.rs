//! What projecting costs: `make bench-projector`.
//!
//! The deployed program projects a log of realistic events into the real engine, with validation and exactly once. The
//! reference of the same run is ClickHouse's own Kafka engine, tuned, at least once and without validation, on the same
//! log. Then the freshness of answers, at several rates and with several projectors.
//!
//! # Layout
//! - [`full_log`]: a million events from a full log: the projector, and the Kafka engine
//! - [`freshness`]: the time from the request that sends an event to the answer that includes it

mod freshness;
mod full_log;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use benches::load::Load;
use clap::Parser;
use harness::services::{Passwords, Settings};
use infra::kafka::KafkaConfig;
use local_stack::supervise::{Event, Restart};
use local_stack::{KafkaOptions, Stack, StackOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the projector.
#[derive(Debug, Parser)]
struct Cli {
    /// Events in the full log.
    #[arg(long, env = "EVENTS", default_value_t = 1_000_000)]
    events: usize,
    /// Seconds for the rows, and for the answers, of each case of the freshness.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// Only the parts whose name contains this: projector, kafka_engine, freshness, freshness_1000,
    /// freshness_one_partition, freshness_4_projectors, freshness_16_projectors.
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
    // In turn, so that a slow minute of the machine hits both.
    let (mut of_projector, mut of_kafka_engine) = (Vec::new(), Vec::new());
    for topic in ["full1", "full2", "full3"] {
        if wanted("projector") || wanted("kafka_engine") {
            full_log::fill(&bench, topic, cli.events).await?;
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
    for scenario in freshness::SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        freshness::measure(&bench, scenario, Duration::from_secs(cli.seconds)).await?;
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

    fn kafka(&self, topic: &str) -> KafkaConfig {
        KafkaConfig { brokers: self.stack.kafka.address(), topic: topic.into(), options: vec![] }
    }

    /// A pipeline of its own for a topic: the programs that `cargo build --release` made.
    fn pipeline(&self, topic: &str) -> Settings {
        Settings {
            kafka: self.stack.kafka.address(),
            clickhouse: self.stack.clickhouse.url(),
            cluster: None,
            passwords: Passwords::of(&self.stack.clickhouse),
            topic: topic.into(),
            database: format!("eye_{topic}"),
            event_types: Some(self.event_types()),
            environment: Vec::new(),
            logs: self.dir.path().into(),
            restart: Restart::Never,
            on_event: Arc::new(|event| {
                if let Event::Died { .. } = event {
                    eprintln!("{event}");
                }
            }),
        }
    }

    fn tables(&self, topic: &str) -> anyhow::Result<clickhouse::Client> {
        let password = std::fs::read_to_string(self.stack.clickhouse.password_file("writer"))?;
        Ok(clickhouse::Client::default()
            .with_url(self.stack.clickhouse.url())
            .with_user("writer")
            .with_password(password)
            .with_database(format!("eye_{topic}_g1")))
    }

    fn clickhouse_pid(&self) -> anyhow::Result<u32> {
        self.stack.clickhouse.process.pid().context("ClickHouse does not run")
    }
}
