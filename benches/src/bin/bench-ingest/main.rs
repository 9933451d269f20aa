//! What the gateway costs: `make bench-ingest`.
//!
//! wrk, the gateway and a broker share the machine, so CPU seconds say more than wall time. The same run measures two
//! limits: an HTTP handler that answers without Kafka, and a bare librdkafka producer.
//!
//! # Layout
//! - [`wrk`]: one run of the load generator
//! - [`limits`]: the two limits, each a process of its own, so that its CPU time can be read
//! - [`stopped`]: the broker stops under load

mod limits;
mod stopped;
mod wrk;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use benches::load::Load;
use benches::process;
use clap::Parser;
use infra::kafka::{KafkaConfig, TopicConfig, create_topic};
use local_stack::supervise::{Restart, Spec};
use local_stack::{Kafka, KafkaOptions, Port, Ready, START, Supervised};
use schemas::apps::sha256_hex;
use time::macros::datetime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEY: &str = "a-key-for-benchmarks-only";

/// Measures the gateway against its limits.
#[derive(Debug, Parser)]
struct Cli {
    /// Seconds of load in each run, after two of warm-up.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Runs of each; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only the parts whose name contains this: single, batch, limit, stopped.
    #[arg(long, default_value = "")]
    only: String,
    #[command(subcommand)]
    role: Option<limits::Role>,
}

/// One way to send.
struct Shape {
    name: &'static str,
    connections: usize,
    events: usize,
    content_type: &'static str,
}

const SHAPES: [Shape; 4] = [
    Shape { name: "single64", connections: 64, events: 1, content_type: "application/json" },
    Shape { name: "single", connections: 256, events: 1, content_type: "application/json" },
    Shape { name: "batch", connections: 32, events: 100, content_type: "application/x-ndjson" },
    Shape { name: "batch_array", connections: 32, events: 100, content_type: "application/json" },
];

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Some(role) = cli.role {
        return role.run();
    }
    tokio::runtime::Runtime::new()?.block_on(measure(&cli))
}

async fn measure(cli: &Cli) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let events: Vec<String> =
        Load::new(1, datetime!(2025-01-01 00:00 UTC)).take(50_000).map(|event| event.value).collect();
    let bytes = events.iter().map(String::len).sum::<usize>() / events.len();
    println!(
        "events of {bytes} bytes, {} runs of {} s, wrk and broker on the same machine",
        cli.runs, cli.seconds
    );

    let options = KafkaOptions { fast: true, ..KafkaOptions::default() };
    let quiet = Arc::new(|_: &_| {});
    let broker = Kafka::spawn(&dir.path().join("kafka"), &options, Restart::Never, quiet)?;
    broker.process.ready(START).await?;
    let kafka = KafkaConfig { brokers: broker.address(), topic: "bench.events".into(), options: vec![] };
    create_topic(&kafka, &TopicConfig { partitions: 16, replication: 1, min_in_sync: 1 }).await?;
    let wanted = |name: &str| name.contains(&cli.only);

    for shape in SHAPES.iter().filter(|shape| wanted(shape.name)) {
        let gateway = Gateway::start(dir.path(), &kafka).await?;
        let requests = wrk::write_requests(dir.path(), &events, shape)?;
        let run = || wrk::run(&requests, &gateway.url, shape, &gateway.process, cli.seconds);
        report(shape.name, &median(cli.runs, run)?);
        gateway.process.stop().await;
    }
    if wanted("limit.handler") {
        let shape = &SHAPES[1];
        let (process, url) = limits::start_handler(dir.path()).await?;
        let requests = wrk::write_requests(dir.path(), &events, shape)?;
        report(
            "limit.handler",
            &median(cli.runs, || wrk::run(&requests, &url, shape, &process, cli.seconds))?,
        );
    }
    if wanted("limit.producer") {
        let mut runs = Vec::new();
        for _ in 0..cli.runs {
            runs.push(limits::run_producer(&kafka, dir.path(), &events, cli.seconds)?);
        }
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (cpu, rate) = runs[runs.len() / 2];
        println!("limit.producer: {rate:.0} events/s, {cpu:.2} CPU s per million");
        println!("figure ingest.limit.producer.cpu_s_per_million {cpu:.2} s");
        println!("figure ingest.limit.producer.events_per_s {rate:.0} events/s");
    }
    if wanted("stopped") {
        let gateway = Gateway::start(dir.path(), &kafka).await?;
        stopped::run(&gateway, &broker, &events).await?;
        gateway.process.stop().await;
    }
    broker.process.stop().await;
    Ok(())
}

/// The run whose CPU time is the median.
fn median(runs: usize, mut run: impl FnMut() -> anyhow::Result<wrk::Run>) -> anyhow::Result<wrk::Run> {
    let mut all = (0..runs.max(1)).map(|_| run()).collect::<anyhow::Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.cpu_s_per_million.total_cmp(&b.cpu_s_per_million));
    Ok(all.swap_remove(all.len() / 2))
}

fn report(name: &str, run: &wrk::Run) {
    println!(
        "{name}: {:.0} events/s, p50 {:.1} ms, p99 {:.1} ms, {:.2} CPU s per million, {:.0} MB",
        run.events_per_s, run.p50_ms, run.p99_ms, run.cpu_s_per_million, run.rss_mb
    );
    println!("figure ingest.{name}.cpu_s_per_million {:.2} s", run.cpu_s_per_million);
    println!("figure ingest.{name}.events_per_s {:.0} events/s", run.events_per_s);
    println!("figure ingest.{name}.p50_ms {:.2} ms", run.p50_ms);
    println!("figure ingest.{name}.p99_ms {:.2} ms", run.p99_ms);
    println!("figure ingest.{name}.rss_mb {:.0} MB", run.rss_mb);
}

/// The gateway as a process, with keys, limits and metrics as in production.
struct Gateway {
    process: Supervised,
    url: String,
}

impl Gateway {
    async fn start(dir: &Path, kafka: &KafkaConfig) -> anyhow::Result<Self> {
        let apps = dir.join("apps.toml");
        // The gateway checks this rate, and no load reaches it.
        let rate = "rate = 100000000\nburst = 100000000";
        let hash = sha256_hex(KEY.as_bytes());
        std::fs::write(
            &apps,
            format!("[[app]]\nname = \"bench\"\n{rate}\nkeys = [{{ sha256 = \"{hash}\" }}]\n"),
        )?;
        let port = Port::claim(0, "ingest", "")?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port.number()));
        let mut command = Command::new(program("ingest")?);
        command.args(["run", "--listen", &address.to_string()]);
        command
            .env("EYE_KAFKA_BROKERS", &kafka.brokers)
            .env("EYE_TOPIC", &kafka.topic)
            .env("EYE_APPS", &apps);
        let process = Supervised::spawn(Spec {
            name: "ingest".into(),
            command,
            log: dir.join("ingest.log"),
            ready: Ready::Http(address, "/readyz".into()),
            restart: Restart::Never,
            grace: std::time::Duration::from_secs(15),
            on_event: Arc::new(|_| {}),
        })?;
        process.ready(START).await?;
        Ok(Self { process, url: format!("http://{address}/events") })
    }
}

/// A program that was built beside this one.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let path = here.parent().context("no directory")?.join(name);
    ensure!(path.exists(), "{} is not built: use `make bench-ingest`", path.display());
    Ok(path)
}
