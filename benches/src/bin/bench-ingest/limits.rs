//! The two limits of the gateway. Each is a process: this program again, in another role.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use clap::Subcommand;
use infra::kafka::{KafkaConfig, PARTITIONER};
use local_stack::supervise::{Restart, Spec};
use local_stack::{Port, Ready, START, Supervised};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::process;

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Answer every POST with 202, as the gateway's own handler would without Kafka.
    #[command(hide = true)]
    Handler { listen: SocketAddr },
    /// Produce the lines of a file for some seconds.
    #[command(hide = true)]
    Producer { brokers: String, topic: String, file: std::path::PathBuf, seconds: u64 },
}

impl Role {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Handler { listen } => handler(listen),
            Self::Producer { brokers, topic, file, seconds } => producer(&brokers, topic, &file, seconds),
        }
    }
}

fn handler(listen: SocketAddr) -> anyhow::Result<()> {
    const ANSWER: &str =
        r#"{"receipts":[{"event_id":"0193b5c5-8a8e-7c3e-9f58-1d2b8a1f0c11","partition":7,"offset":123456}]}"#;
    let answer = |body: Bytes| async move {
        std::hint::black_box(body.len());
        (StatusCode::ACCEPTED, [("content-type", "application/json")], ANSWER)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let router =
            Router::new().route("/events", post(answer)).route("/healthz", axum::routing::get(|| async {}));
        Ok(axum::serve(listener, router).await?)
    })
}

/// Starts the handler. Returns the process and the URL that takes events.
pub(crate) async fn start_handler(dir: &Path) -> anyhow::Result<(Supervised, String)> {
    let port = Port::claim(0, "the handler", "")?;
    let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["handler", &address.to_string()]);
    let process = Supervised::spawn(Spec {
        name: "handler".into(),
        command,
        log: dir.join("handler.log"),
        ready: Ready::Http(address, "/healthz".into()),
        restart: Restart::Never,
        grace: Duration::from_secs(1),
        on_event: Arc::new(|_| {}),
    })?;
    process.ready(START).await?;
    Ok((process, format!("http://{address}/events")))
}

struct Ignore;
impl ClientContext for Ignore {}
impl ProducerContext for Ignore {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            eprintln!("not delivered: {error}");
        }
    }
}

/// A producer with the gateway's options and nothing around it.
fn producer(brokers: &str, topic: String, file: &Path, seconds: u64) -> anyhow::Result<()> {
    let kafka = KafkaConfig { brokers: brokers.into(), topic, options: vec![] };
    let client = kafka.client(&[
        ("partitioner", PARTITIONER),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("linger.ms", "3"),
        ("compression.type", "lz4"),
        ("batch.num.messages", "20000"),
    ]);
    let producer: ThreadedProducer<Ignore> = client.create_with_context(Ignore)?;
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<&str> = text.lines().collect();
    let (start, mut sent) = (Instant::now(), 0u64);
    'sending: loop {
        for line in &lines {
            if sent.is_multiple_of(1024) && start.elapsed() >= Duration::from_secs(seconds) {
                break 'sending;
            }
            let key = &line[15..51];
            while let Err((error, _)) = producer.send(BaseRecord::to(&kafka.topic).key(key).payload(*line)) {
                anyhow::ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
                std::thread::sleep(Duration::from_millis(1));
            }
            sent += 1;
        }
    }
    producer.flush(Duration::from_secs(30)).map_err(|error: KafkaError| anyhow::anyhow!("flush: {error}"))?;
    let cpu = process::cpu(std::process::id())?.as_secs_f64();
    println!("{} {}", cpu / sent as f64 * 1e6, sent as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// CPU seconds per million events, and events a second.
pub(crate) fn run_producer(
    kafka: &KafkaConfig,
    dir: &Path,
    events: &[String],
    seconds: u64,
) -> anyhow::Result<(f64, f64)> {
    let file = dir.join("events.ndjson");
    std::fs::write(&file, events.join("\n"))?;
    let output = Command::new(std::env::current_exe()?)
        .args(["producer", &kafka.brokers, &kafka.topic])
        .arg(&file)
        .arg(seconds.to_string())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers = said.trim().split_once(' ');
    let (cpu, rate) = numbers.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((cpu.parse()?, rate.parse()?))
}
