//! The time from the broker's acknowledgement of an event to its row in `events`, while events come at random times.
//!
//! The projector's metrics say when an event is inserted; to read them often costs little. The table confirms them now
//! and then. To ask the table each time took a quarter of a core from the inserts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::load::Load;
use benches::process;
use fastrand::Rng;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use time::macros::datetime;

use crate::{Bench, figure};

/// Between two looks at the projector's positions. The figures are too high by up to this, and by the look itself.
const LOOK: Duration = Duration::from_millis(5);
/// Between two looks at the table.
const PROOF: Duration = Duration::from_millis(500);
/// How long the bench waits for events that were appended in the measured time.
const REST: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(60);

/// When each event was acknowledged, by partition and offset.
type Appended = Arc<Mutex<BTreeMap<(i32, i64), Instant>>>;

pub(crate) async fn measure(bench: &Bench, rate: u64, time: Duration) -> anyhow::Result<()> {
    let topic = format!("fresh{rate}");
    bench.migrate(&topic)?;
    let (projector, url) = bench.projector(&topic).await?;
    let pid = projector.pid().context("the projector died")?;
    let appended = Appended::default();
    let sender = tokio::spawn(send(bench.kafka(&topic), rate, WARM_UP + time, Arc::clone(&appended)));

    let tables = bench.tables(&topic)?;
    let http = reqwest::Client::new();
    let metrics = async || http.get(format!("{url}/metrics")).send().await?.text().await;
    let mut waits = Vec::new();
    let begin = Instant::now() + WARM_UP;
    let end = begin + time;
    let mut at_begin = None;
    let mut proven = Instant::now();
    // Events that were appended in the measured time count even if they arrive after it.
    while Instant::now() < end || !appended.lock().expect("no panic under the lock").is_empty() {
        ensure!(Instant::now() < end + REST, "events are missing {REST:?} after the last one");
        let metrics = metrics().await?;
        let now = Instant::now();
        if now >= begin && at_begin.is_none() {
            let clickhouse = process::cpu(bench.clickhouse_pid()?)?;
            at_begin = Some((inserts(&metrics)?, process::cpu(pid)?, clickhouse, now));
        }
        let positions = positions(&metrics)?;
        {
            let mut appended = appended.lock().expect("no panic under the lock");
            for (partition, position) in &positions {
                let mut later = appended.split_off(&(*partition, *position));
                // The rest of this partition's events is queryable now.
                let mine = appended.split_off(&(*partition, 0));
                waits.extend(mine.values().filter(|at| **at >= begin).map(|at| now - *at));
                appended.append(&mut later);
            }
        }
        if now - proven > PROOF {
            proven = now;
            prove(&tables, &positions).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
    let (inserts_before, cpu_before, clickhouse_before, since) = at_begin.context("too short")?;
    let seconds = since.elapsed().as_secs_f64();
    let inserts = (inserts(&metrics().await?)? - inserts_before) / seconds;
    let cpu = (process::cpu(pid)? - cpu_before).as_secs_f64() / seconds;
    let clickhouse = (process::cpu(bench.clickhouse_pid()?)? - clickhouse_before).as_secs_f64() / seconds;
    sender.await??;
    projector.stop().await;

    waits.sort_unstable();
    let percentile = |share: f64| {
        let index = ((waits.len() as f64 * share) as usize).min(waits.len().saturating_sub(1));
        waits.get(index).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1000.0)
    };
    println!("{} events at {rate} a second", waits.len());
    let name = |figure: &str| match rate {
        100 => format!("freshness.{figure}"),
        _ => format!("freshness_{rate}.{figure}"),
    };
    figure(&name("p50_ms"), percentile(0.5), "ms");
    figure(&name("p99_ms"), percentile(0.99), "ms");
    figure(&name("inserts_per_s"), inserts, "1/s");
    figure(&name("projector_cores"), cpu, "cores");
    figure(&name("clickhouse_cores"), clickhouse, "cores");
    Ok(())
}

/// All events of this load are accepted, so the last one below each position must be found.
async fn prove(tables: &clickhouse::Client, positions: &BTreeMap<i32, i64>) -> anyhow::Result<()> {
    let sql = "SELECT partition, max(offset) FROM events GROUP BY partition";
    let found: Vec<(u16, u64)> = tables.query(sql).fetch_all().await?;
    let found: BTreeMap<i32, i64> = found.into_iter().map(|(p, last)| (p.into(), last as i64)).collect();
    for (partition, position) in positions.iter().filter(|(_, position)| **position > 0) {
        let last = found.get(partition);
        ensure!(
            last >= Some(&(position - 1)),
            "partition {partition}: {position} said to be in, {last:?} found"
        );
    }
    Ok(())
}

/// By partition, the position below which everything is inserted.
fn positions(metrics: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
    let lines =
        metrics.lines().filter_map(|line| line.strip_prefix("eye_projector_position_offsets{partition=\""));
    lines
        .map(|line| {
            let (partition, position) = line.split_once("\"} ").context("a position")?;
            Ok((partition.parse()?, position.parse()?))
        })
        .collect()
}

/// Inserts that the projector has made so far.
fn inserts(metrics: &str) -> anyhow::Result<f64> {
    let count = metrics.lines().find_map(|line| line.strip_prefix("eye_projector_chunk_rows_count "));
    Ok(count.context("no count of chunks")?.parse()?)
}

/// Sends at random times, `rate` a second on average.
async fn send(
    kafka: infra::kafka::KafkaConfig,
    rate: u64,
    time: Duration,
    appended: Appended,
) -> anyhow::Result<()> {
    let options =
        [("partitioner", infra::kafka::PARTITIONER), ("linger.ms", "1"), ("compression.type", "lz4")];
    let producer: FutureProducer = kafka.client(&options).create()?;
    let headers = OwnedHeaders::new().insert(Header { key: "app", value: Some("demo") });
    let mut rng = Rng::with_seed(rate);
    let mut load = Load::new(rate, datetime!(2025-01-01 00:00 UTC));
    let end = Instant::now() + time;
    let mut next = Instant::now();
    while next < end {
        tokio::time::sleep_until(next.into()).await;
        next += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate as f64);
        let event = load.next().context("the load is endless")?;
        let key = event.session_id.to_string();
        let record = FutureRecord::to(&kafka.topic).key(&key).payload(&event.value).headers(headers.clone());
        let delivery = producer.send_result(record).map_err(|(error, _)| error)?;
        let appended = Arc::clone(&appended);
        tokio::spawn(async move {
            if let Ok(Ok(delivery)) = delivery.await {
                let place = (delivery.partition, delivery.offset);
                appended.lock().expect("no panic under the lock").insert(place, Instant::now());
            }
        });
    }
    Ok(())
}
