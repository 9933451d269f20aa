//! The time from the HTTP request that sends an event to the answer that includes it, while events come at random
//! times; and what the processes cost meanwhile.
//!
//! First nobody asks, and the projectors' metrics say when the row of an event is there. (The table confirms them now and
//! then. To ask the table each time took a quarter of a core from the inserts.) Then three askers each take the event
//! that was sent last, and ask until the answer includes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use benches::load::{Load, LoadEvent};
use benches::process;
use fastrand::Rng;
use harness::demo::Receipts;
use harness::pipeline::KEY;
use harness::services::Service;
use serde_json::Value;
use time::macros::datetime;

use crate::{Bench, figure};

pub(crate) struct Scenario {
    /// The prefix of its figures.
    pub name: &'static str,
    /// Events a second.
    rate: u64,
    partitions: u16,
    projectors: usize,
}

pub(crate) const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "freshness", rate: 100, partitions: 16, projectors: 1 },
    Scenario { name: "freshness_1000", rate: 1_000, partitions: 16, projectors: 1 },
    Scenario { name: "freshness_one_partition", rate: 100, partitions: 1, projectors: 1 },
    Scenario { name: "freshness_4_projectors", rate: 100, partitions: 16, projectors: 4 },
    Scenario { name: "freshness_16_projectors", rate: 100, partitions: 16, projectors: 16 },
];

/// Between two looks at a projector's positions; projectors are looked at in turn. The figures are too high by up to
/// this for each projector, and by the look itself.
const LOOK: Duration = Duration::from_millis(5);
/// Between two looks at the table.
const PROOF: Duration = Duration::from_millis(500);
/// How long the bench waits for an event.
const PATIENCE: Duration = Duration::from_secs(20);
const WARM_UP: Duration = Duration::from_secs(30);
/// How long nothing happens before the cost at rest is measured, and how long it is.
const REST: Duration = Duration::from_secs(15);
/// Between an answer and the next question of an asker.
const BETWEEN: Duration = Duration::from_millis(300);

/// What was sent.
#[derive(Clone)]
struct Sent {
    at: Instant,
    session: String,
    event: String,
    partition: i32,
    offset: i64,
}

#[derive(Default)]
struct Log {
    newest: Option<Sent>,
    /// When the events were sent whose rows are being waited for, by place; none while rows don't matter.
    awaited: Option<BTreeMap<(i32, i64), Instant>>,
    failed: Option<String>,
}

type Shared = Arc<Mutex<Log>>;

fn lock(log: &Shared) -> MutexGuard<'_, Log> {
    log.lock().expect("nothing panics while it holds the lock")
}

pub(crate) async fn measure(bench: &Bench, scenario: &Scenario, time: Duration) -> anyhow::Result<()> {
    let Scenario { name, rate, partitions, projectors } = *scenario;
    let pipeline = bench.pipeline(name);
    pipeline.projector_verb(&["migrate", "--partitions", &partitions.to_string()]).await?;
    let ingest = pipeline.ingest(0)?;
    let query_api = pipeline.query_api(0)?;
    let projectors = (1..=projectors).map(|nth| pipeline.projector(&format!("{name}-{nth}"), 0));
    let projectors: Vec<Service> = projectors.collect::<anyhow::Result<_>>()?;
    for service in projectors.iter().chain([&ingest, &query_api]) {
        service.ready().await?;
    }
    let processes = Processes::of(bench, &ingest, &projectors, &query_api)?;
    let log = Shared::default();
    let sender = tokio::spawn(send(ingest.url(), rate, Arc::clone(&log)));
    tokio::time::sleep(WARM_UP).await;

    let before = (processes.cpu()?, inserts(&projectors).await?, Instant::now());
    let rows = rows(&log, &projectors, &bench.tables(name)?, time).await?;
    let seconds = before.2.elapsed().as_secs_f64();
    let inserts = (inserts(&projectors).await? - before.1) / seconds;
    let busy = processes.cores(&before.0, seconds)?;

    let end = Instant::now() + time;
    let ask = |question| answers(query_api.url(), question, Arc::clone(&log), end);
    let (timeline, transitions, features) =
        tokio::try_join!(ask(Question::Timeline), ask(Question::Transitions), ask(Question::Features))?;
    sender.abort();
    if let Some(failed) = lock(&log).failed.take() {
        bail!("an event was not taken: {failed}");
    }

    tokio::time::sleep(REST).await;
    let (before, since) = (processes.cpu()?, Instant::now());
    tokio::time::sleep(REST).await;
    let at_rest = processes.cores(&before, since.elapsed().as_secs_f64())?;

    println!("{name}: {} rows, {} answers", rows.len(), timeline.len() + transitions.len() + features.len());
    percentiles(name, rows);
    percentiles(&format!("{name}.timeline"), timeline);
    percentiles(&format!("{name}.transitions"), transitions);
    percentiles(&format!("{name}.features"), features);
    figure(&format!("{name}.inserts_per_s"), inserts, "1/s");
    for (state, cores) in [("", busy), ("at_rest.", at_rest)] {
        for (process, cores) in &cores {
            figure(&format!("{name}.{state}{process}_cores"), *cores, "cores");
        }
        figure(&format!("{name}.{state}stack_cores"), cores.values().sum(), "cores");
    }
    for service in projectors.iter().chain([&ingest, &query_api]) {
        service.process.stop().await;
    }
    Ok(())
}

fn percentiles(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for (percentile, share) in [("p50", 0.5), ("p99", 0.99)] {
        let index = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        let time = times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0);
        figure(&format!("{name}.{percentile}_ms"), time, "ms");
    }
}

/// Sends one event a request at random times, `rate` a second on average, until it is aborted.
async fn send(ingest: String, rate: u64, log: Shared) {
    let (http, url) = (reqwest::Client::new(), format!("{ingest}/events"));
    let mut rng = Rng::with_seed(rate);
    let mut next = Instant::now();
    for event in Load::new(rate, datetime!(2025-01-01 00:00 UTC)) {
        tokio::time::sleep_until(next.into()).await;
        next += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate as f64);
        let LoadEvent { session_id, event_id, value } = event;
        let (at, log) = (Instant::now(), Arc::clone(&log));
        let request = http.post(&url).bearer_auth(KEY).header("content-type", "application/json").body(value);
        tokio::spawn(async move {
            let sent = async {
                let receipts: Receipts = request.send().await?.error_for_status()?.json().await?;
                let receipt = receipts.receipts.into_iter().next().context("no receipt")?;
                let (Some(partition), Some(offset)) = (receipt.partition, receipt.offset) else {
                    bail!("{:?}", receipt.error);
                };
                let (session, event) = (session_id.to_string(), event_id.to_string());
                Ok(Sent { at, session, event, partition, offset })
            };
            let sent = sent.await;
            let mut log = lock(&log);
            match sent {
                Ok(sent) => {
                    if let Some(awaited) = &mut log.awaited {
                        awaited.insert((sent.partition, sent.offset), at);
                    }
                    log.newest = Some(sent);
                }
                Err(error) => log.failed = Some(format!("{error:#}")),
            }
        });
    }
}

/// How long it took until the rows of the events were there that are sent in `time`.
async fn rows(
    log: &Shared,
    projectors: &[Service],
    tables: &clickhouse::Client,
    time: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let http = reqwest::Client::new();
    let mut waits = Vec::new();
    let begin = Instant::now();
    let mut proven = begin;
    lock(log).awaited = Some(BTreeMap::new());
    // Events of the last moments are awaited as those of the first are.
    for projector in projectors.iter().cycle() {
        let metrics = http.get(format!("{}/metrics", projector.url())).send().await?.text().await?;
        let (now, positions) = (Instant::now(), positions(&metrics)?);
        {
            let mut log = lock(log);
            let awaited = log.awaited.get_or_insert_default();
            if begin.elapsed() > time {
                let late = awaited.extract_if(.., |_, at| *at > begin + time);
                late.for_each(drop);
                if awaited.is_empty() {
                    log.awaited = None;
                    return Ok(waits);
                }
            }
            for (partition, position) in &positions {
                waits.extend(
                    awaited
                        .extract_if((*partition, 0)..(*partition, *position), |_, _| true)
                        .map(|(_, at)| now - at),
                );
            }
        }
        ensure!(begin.elapsed() < time + PATIENCE, "rows are missing {PATIENCE:?} after the last event");
        if now - proven > PROOF {
            proven = now;
            prove(tables, &positions).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(waits)
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

/// Inserts that the projectors have made so far.
async fn inserts(projectors: &[Service]) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for projector in projectors {
        let metrics = reqwest::get(format!("{}/metrics", projector.url())).await?.text().await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix("eye_projector_chunk_rows_count "));
        sum += count.context("no count of chunks")?.parse::<f64>()?;
    }
    Ok(sum)
}

#[derive(Clone, Copy)]
enum Question {
    Timeline,
    Transitions,
    Features,
}

/// How long it took until an answer included the event that had been sent last, again and again until `end`.
async fn answers(
    query_api: String,
    question: Question,
    log: Shared,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let http = reqwest::Client::new();
    let mut waits = Vec::new();
    while Instant::now() < end {
        let sent = lock(&log).newest.clone().context("nothing was sent")?;
        let path = match question {
            Question::Timeline => format!("/v1/sessions/{}?limit=10000", sent.session),
            Question::Transitions => "/v1/order/transitions".into(),
            Question::Features => "/v1/features".into(),
        };
        loop {
            let response = http.get(format!("{query_api}{path}")).send().await?;
            // The first event of a session: nothing is known of it.
            let found = response.status() != 404 && {
                let answer: Value = response.error_for_status()?.json().await?;
                question.includes(&sent, &answer)?
            };
            if found {
                break;
            }
            ensure!(sent.at.elapsed() < PATIENCE, "{path} lacks an event for {PATIENCE:?}");
        }
        waits.push(sent.at.elapsed());
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(waits)
}

impl Question {
    fn includes(self, sent: &Sent, answer: &Value) -> anyhow::Result<bool> {
        if let Self::Timeline = self {
            let events = answer["events"].as_array().context("a timeline has events")?;
            return Ok(events.iter().any(|event| event["event_id"] == sent.event.as_str()));
        }
        let positions = answer["as_of"]["positions"].as_object().context("an answer has a place")?;
        let included: i64 = positions.values().filter_map(Value::as_i64).sum();
        if let Self::Features = self {
            // All events are accepted: what `as_of` says is there.
            let counted = answer["total"]["events"].as_i64().context("a total")?;
            ensure!(counted >= included, "{counted} events, {included} said to be included");
        }
        Ok(positions.get(&sent.partition.to_string()).and_then(Value::as_i64) > Some(sent.offset))
    }
}

/// The pids of what makes up the stack.
struct Processes(Vec<(&'static str, u32)>);

impl Processes {
    fn of(
        bench: &Bench,
        ingest: &Service,
        projectors: &[Service],
        query_api: &Service,
    ) -> anyhow::Result<Self> {
        let pid = |name, service: &Service| Ok((name, service.process.pid().context(name)?));
        let kafka = bench.stack.kafka.process.pid().context("Kafka does not run")?;
        let mut processes = vec![
            pid("ingest", ingest)?,
            pid("query_api", query_api)?,
            ("clickhouse", bench.clickhouse_pid()?),
            ("kafka", kafka),
        ];
        processes
            .extend(projectors.iter().map(|one| pid("projector", one)).collect::<anyhow::Result<Vec<_>>>()?);
        Ok(Self(processes))
    }

    /// CPU seconds so far, of each kind of process.
    fn cpu(&self) -> anyhow::Result<BTreeMap<&'static str, f64>> {
        let mut sums = BTreeMap::new();
        for (name, pid) in &self.0 {
            *sums.entry(*name).or_default() += process::cpu(*pid)?.as_secs_f64();
        }
        Ok(sums)
    }

    fn cores(
        &self,
        before: &BTreeMap<&'static str, f64>,
        seconds: f64,
    ) -> anyhow::Result<BTreeMap<&'static str, f64>> {
        let now = self.cpu()?;
        Ok(now.into_iter().map(|(name, cpu)| (name, (cpu - before[name]) / seconds)).collect())
    }
}
