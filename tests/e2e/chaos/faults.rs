//! What goes wrong, and how it is put right.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::Pipeline;
use harness::proxy::Proxy;
use local_stack::Supervised;

/// Consumers that fall silent are expelled after six seconds, so that a stopped one is soon a zombie.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

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

const KINDS: [&str; 8] = [
    "kill a projector",
    "stop a projector past its session",
    "restart a projector",
    "kill ClickHouse",
    "restart ClickHouse",
    "kill the broker",
    "restart the broker",
    "cut connections",
];

impl Faults {
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// One fault at random. Some heal only later, so that faults overlap.
    pub(crate) async fn inject(&mut self, pipeline: &Pipeline, proxy: &Proxy, random: &mut fastrand::Rng) {
        let kind = KINDS[random.usize(..KINDS.len())];
        *self.counts.entry(kind).or_default() += 1;
        let projector = &pipeline.projectors[random.usize(..pipeline.projectors.len())].process;
        let (clickhouse, kafka) = (&pipeline.stack.clickhouse.process, &pipeline.stack.kafka.process);
        let a_while = Duration::from_millis(random.u64(0..1500));
        match kind {
            "kill a projector" => kill(projector, a_while).await,
            "restart a projector" => projector.restart().await,
            "kill ClickHouse" => kill(clickhouse, a_while).await,
            "restart ClickHouse" => clickhouse.restart().await,
            "kill the broker" => kill(kafka, a_while).await,
            "restart the broker" => kafka.restart().await,
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
        let parts = [&pipeline.stack.kafka.process, &pipeline.stack.clickhouse.process];
        for process in parts.into_iter().chain(pipeline.projectors.iter().map(|projector| &projector.process))
        {
            process.start();
            process.ready(local_stack::START).await.expect("comes back without help");
        }
    }
}

/// SIGKILL, and up again after a while.
async fn kill(process: &Supervised, a_while: Duration) {
    process.kill().await;
    tokio::time::sleep(a_while).await;
    process.start();
}
