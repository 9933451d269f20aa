//! From a full log: how many CPU seconds a million events cost, and how many rows a second arrive.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::load::Load;
use benches::process;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use time::macros::datetime;

use crate::{Bench, figure};

const PATIENCE: Duration = Duration::from_secs(600);

/// Writes the events as the gateway would: key, headers, lz4.
pub(crate) fn fill(bench: &Bench, topic: &str, events: usize) -> anyhow::Result<()> {
    bench.migrate(topic)?;
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

pub(crate) async fn projector(bench: &Bench, topic: &str, events: usize) -> anyhow::Result<()> {
    let clickhouse = bench.clickhouse_pid()?;
    let before = process::cpu(clickhouse)?;
    let started = Instant::now();
    let (projector, _) = bench.projector(topic).await?;
    let pid = projector.pid().context("the projector died")?;
    let tables = bench.tables(topic);
    wait(events, || tables.query("SELECT count() FROM ledger").fetch_one()).await?;
    let took = started.elapsed();
    let (of_projector, of_clickhouse) = (process::cpu(pid)?, process::cpu(clickhouse)? - before);
    let peaks = (process::peak_mb(pid)?, process::peak_mb(clickhouse)?);
    // Merges go on for a while: they belong to the price.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let with_merges = process::cpu(clickhouse)? - before;
    projector.stop().await;

    let (accepted, offsets, rows): (u64, u64, u64) = tables
        .query("SELECT countIf(verdict = 'accepted'), uniqExact(partition, offset), (SELECT count() FROM events) FROM ledger")
        .fetch_one()
        .await?;
    ensure!(
        [accepted, offsets, rows] == [events as u64; 3],
        "{accepted} accepted, {offsets} offsets, {rows} events of {events}: see projector.log"
    );
    let million = events as f64 / 1e6;
    let each = of_projector.as_secs_f64() / million;
    figure("projector.cpu_s_per_million", each, "s");
    figure("projector.clickhouse.cpu_s_per_million", of_clickhouse.as_secs_f64() / million, "s");
    figure("projector.with_clickhouse.cpu_s_per_million", each + with_merges.as_secs_f64() / million, "s");
    figure("projector.rows_per_s", events as f64 / took.as_secs_f64(), "rows/s");
    figure("projector.peak_memory", peaks.0, "MB");
    figure("projector.clickhouse.peak_memory", peaks.1, "MB");
    Ok(())
}

/// The reference: no validation, no duplicates, no ledger, at least once; the same columns.
pub(crate) async fn kafka_engine(bench: &Bench, topic: &str, events: usize) -> anyhow::Result<()> {
    let tables = bench.tables(topic);
    let brokers = bench.stack.kafka.address();
    for sql in [
        "CREATE TABLE reference AS events".to_owned(),
        format!(
            "CREATE TABLE queue (session_id UUID, event_id UUID, category LowCardinality(String), \
             name LowCardinality(String), data String, timestamp DateTime64(6, 'UTC')) ENGINE = Kafka \
             SETTINGS kafka_broker_list = '{brokers}', kafka_topic_list = '{topic}', \
             kafka_group_name = 'reference', kafka_format = 'JSONEachRow', kafka_num_consumers = 2, \
             kafka_thread_per_consumer = 1, kafka_max_block_size = 262144, kafka_poll_max_batch_size = 65536, \
             kafka_flush_interval_ms = 2000, input_format_json_read_objects_as_strings = 1, \
             date_time_input_format = 'best_effort'"
        ),
    ] {
        tables.query(&sql).execute().await.with_context(|| sql)?;
    }
    let clickhouse = bench.clickhouse_pid()?;
    let before = process::cpu(clickhouse)?;
    let started = Instant::now();
    let view = "CREATE MATERIALIZED VIEW consumer TO reference AS SELECT session_id, timestamp, _partition AS partition, \
                _offset AS offset, event_id, _headers.value[1] AS app, category, name, data, _timestamp AS received_at, \
                1 AS schema_version FROM queue";
    tables.query(view).execute().await?;
    wait(events, || tables.query("SELECT count() FROM reference").fetch_one()).await?;
    let took = started.elapsed();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let cpu = process::cpu(clickhouse)? - before;
    for sql in ["DROP TABLE consumer", "DROP TABLE queue", "DROP TABLE reference"] {
        tables.query(sql).execute().await?;
    }
    figure("kafka_engine.cpu_s_per_million", cpu.as_secs_f64() / (events as f64 / 1e6), "s");
    figure("kafka_engine.rows_per_s", events as f64 / took.as_secs_f64(), "rows/s");
    Ok(())
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
