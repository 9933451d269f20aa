//! The faults, and how each is put right.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::proxy::Proxy;
use harness::{Pipeline, eventually};
use local_stack::{ClickHouse, Supervised};

/// Consumers that fall silent are expelled after six seconds, so that a stopped one is soon a zombie.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// However busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(400);

/// Broker properties that make the group coordinator quick to expel.
pub(crate) fn quick_groups() -> Vec<(String, String)> {
    let timeout = SESSION_TIMEOUT.as_millis().to_string();
    [
        ("group.consumer.min.session.timeout.ms", timeout.as_str()),
        ("group.consumer.session.timeout.ms", timeout.as_str()),
        ("group.consumer.min.heartbeat.interval.ms", "500"),
        ("group.consumer.heartbeat.interval.ms", "500"),
    ]
    .map(|(key, value)| (key.to_string(), value.to_string()))
    .to_vec()
}

#[derive(Default)]
pub(crate) struct Faults {
    counts: BTreeMap<&'static str, u64>,
}

const KINDS: [&str; 9] = [
    "kill a projector",
    "stop a projector past its session",
    "restart a projector",
    "kill ClickHouse",
    "restart ClickHouse",
    "kill the broker",
    "restart the broker",
    // Of one server.
    "cut connections",
    // Of several shards.
    "lose a shard",
];

impl Faults {
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// One fault at random. Some heal only later, so that faults overlap.
    pub(crate) async fn inject(&mut self, pipeline: &Pipeline, proxy: &Proxy, random: &mut fastrand::Rng) {
        let shards: Vec<&ClickHouse> = pipeline.stack.clickhouse.shards().collect();
        let other = if shards.len() > 1 { "cut connections" } else { "lose a shard" };
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| *kind != other).collect();
        let kind = kinds[random.usize(..kinds.len())];
        *self.counts.entry(kind).or_default() += 1;
        let projector = &pipeline.projectors[random.usize(..pipeline.projectors.len())].process;
        let shard = shards[random.usize(..shards.len())];
        let (clickhouse, kafka) = (&shard.process, &pipeline.stack.kafka.process);
        let a_while = Duration::from_millis(random.u64(0..1500));
        match kind {
            "kill a projector" => kill(projector, a_while).await,
            "restart a projector" => restart(projector).await,
            "kill ClickHouse" => kill(clickhouse, a_while).await,
            "restart ClickHouse" => restart(clickhouse).await,
            "kill the broker" => kill(kafka, a_while).await,
            "restart the broker" => restart(kafka).await,
            "lose a shard" => lose(pipeline, shard).await,
            "cut connections" => {
                for _ in 0..random.u8(1..20) {
                    proxy.cut();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            _ => {
                projector.pause();
                tokio::time::sleep(SESSION_TIMEOUT + a_while).await;
                projector.resume();
            }
        }
        // The broker takes seconds to start: without it there is no traffic to hit with the next fault.
        if kind.ends_with("broker") {
            kafka.ready(local_stack::START).await.expect("the broker comes back");
        }
    }

    /// Until everything runs again.
    pub(crate) async fn repair(&self, pipeline: &Pipeline) {
        let clickhouse = pipeline.stack.clickhouse.shards().map(|shard| &shard.process);
        let parts = std::iter::once(&pipeline.stack.kafka.process).chain(clickhouse);
        for process in parts.chain(pipeline.projectors.iter().map(|projector| &projector.process)) {
            process.start();
            process.ready(local_stack::START).await.expect("comes back without help");
        }
    }
}

/// The shard's disk is empty from one moment to the next. Once it has tables again, the next one may be lost: what all
/// have lost, nobody makes again by himself.
pub(crate) async fn lose(pipeline: &Pipeline, shard: &ClickHouse) {
    shard.process.kill().await;
    std::fs::remove_dir_all(shard.data()).expect("the directory goes");
    shard.process.start();
    // Whoever makes the tables needs all shards, and a projector.
    for other in pipeline.stack.clickhouse.shards() {
        other.process.start();
    }
    for projector in &pipeline.projectors {
        projector.process.start();
    }
    has_tables(pipeline, shard).await;
}

/// Waits until the shard has its tables again.
pub(crate) async fn has_tables(pipeline: &Pipeline, shard: &ClickHouse) {
    let sql = format!("SELECT count() FROM {}_g1_local.ledger", pipeline.settings.database);
    let writer = pipeline.writer_of(&shard.url());
    let has = async || writer.query(&sql).fetch_one::<u64>().await.ok();
    let waited = tokio::time::timeout(PATIENCE, eventually(PATIENCE * 2, has)).await;
    let logs = || pipeline.projectors.iter().map(|projector| projector.log_end(60)).collect::<Vec<_>>();
    assert!(waited.is_ok(), "no tables again:\n{}", logs().join("\n---\n"));
}

/// In order, and up again.
async fn restart(process: &Supervised) {
    process.stop().await;
    process.start();
}

/// SIGKILL, and up again after a while.
async fn kill(process: &Supervised, a_while: Duration) {
    process.kill().await;
    tokio::time::sleep(a_while).await;
    process.start();
}
