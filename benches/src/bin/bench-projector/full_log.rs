//! What a million events cost from a full log: CPU seconds, and rows a second.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::load::Load;
use benches::process;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use time::macros::datetime;

use crate::{Bench, Figure};

const PATIENCE: Duration = Duration::from_secs(600);

/// Writes the events as the gateway would: key, headers, lz4.
pub(crate) async fn fill(bench: &Bench, topic: &str, events: usize) -> anyhow::Result<()> {
    bench.pipeline(topic).projector_verb(&["migrate"]).await?;
    let options = [
        ("partitioner", infra::kafka::PARTITIONER),
        ("compression.type", "lz4"),
        ("linger.ms", "20"),
        ("enable.idempotence", "true"),
    ];
    let producer: BaseProducer = bench.kafka(topic).client(&options).create()?;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "app", value: Some("demo") })
        .insert(Header { key: "received_at", value: Some("2026-01-01T00:00:00.000000Z") });
    let mut bytes = 0;
    for event in Load::new(1, datetime!(2025-01-01 00:00 UTC)).take(events) {
        let key = event.session_id.to_string();
        bytes += event.value.len();
        let mut record = BaseRecord::to(topic).key(&key).payload(&event.value).headers(headers.clone());
        while let Err((error, back)) = producer.send(record) {
            ensure!(
                matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                "the log could not be filled: {error}"
            );
            producer.poll(Duration::from_millis(50));
            record = back;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE)?;
    println!("{events} events of {} bytes in 16 partitions", bytes / events.max(1));
    Ok(())
}

pub(crate) async fn projector(bench: &Bench, topic: &str, events: usize) -> anyhow::Result<Vec<Figure>> {
    let clickhouse = bench.clickhouse_pid()?;
    let before = process::cpu(clickhouse)?;
    let started = Instant::now();
    let projector = bench.pipeline(topic).projector("projector", 0)?;
    projector.ready().await?;
    let pid = projector.process.pid().context("the projector died")?;
    let tables = bench.tables(topic)?;
    wait(events, || tables.query("SELECT count() FROM ledger").fetch_one()).await?;
    let took = started.elapsed();
    let (of_projector, of_clickhouse) = (process::cpu(pid)?, process::cpu(clickhouse)? - before);
    let peaks = (process::peak_mb(pid)?, process::peak_mb(clickhouse)?);
    // Merges run for a while after the last insert, and belong to the price.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let with_merges = process::cpu(clickhouse)? - before;
    projector.process.stop().await;

    let (accepted, offsets): (u64, u64) = tables
        .query("SELECT countIf(verdict = 'accepted'), uniqExact(partition, offset) FROM ledger")
        .fetch_one()
        .await?;
    let rows: u64 = tables.query("SELECT count() FROM events").fetch_one().await?;
    ensure!(
        [accepted, offsets, rows] == [events as u64; 3],
        "{accepted} accepted, {offsets} offsets, {rows} events of {events}: see projector.log"
    );
    let million = events as f64 / 1e6;
    let each = of_projector.as_secs_f64() / million;
    Ok(vec![
        ("projector.cpu_s_per_million", each, "s"),
        ("projector.clickhouse.cpu_s_per_million", of_clickhouse.as_secs_f64() / million, "s"),
        ("projector.with_clickhouse.cpu_s_per_million", each + with_merges.as_secs_f64() / million, "s"),
        ("projector.rows_per_s", events as f64 / took.as_secs_f64(), "rows/s"),
        ("projector.peak_memory", peaks.0, "MB"),
        ("projector.clickhouse.peak_memory", peaks.1, "MB"),
    ])
}

/// The reference has the columns of `events`, no validation, no duplicates and no ledger, and reads at least once.
pub(crate) async fn kafka_engine(bench: &Bench, topic: &str, events: usize) -> anyhow::Result<Vec<Figure>> {
    // The library that the local server has loaded.
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", bench.clickhouse_pid()?))?;
    let library = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .find(|path| path.ends_with("/libchdb.so"))
        .context("the local server has not loaded libchdb.so")?;
    let output = tokio::process::Command::new("python3")
        .args(["-c", include_str!("kafka_engine.py"), library])
        .arg(bench.dir.path().join(format!("kafka-engine-{topic}")))
        .args([&bench.stack.kafka.address(), topic, &events.to_string()])
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(output.status.success(), "the Kafka engine: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let mut numbers = said.split_whitespace().map(str::parse::<f64>);
    let (cpu, took) = (numbers.next().context("no CPU time")??, numbers.next().context("no time")??);
    Ok(vec![
        ("kafka_engine.cpu_s_per_million", cpu / (events as f64 / 1e6), "s"),
        ("kafka_engine.rows_per_s", events as f64 / took, "rows/s"),
    ])
}

async fn wait<F: Future<Output = clickhouse::error::Result<u64>>>(
    events: usize,
    mut count: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let rows = count().await?;
        if rows >= events as u64 {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{rows} of {events} rows arrived");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
