//! Asks the brokers where the log ends, and ClickHouse whether it answers: for the lag and for `/readyz`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use infra::kafka::{faulty_settings, how_to_mend};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::error::Result;
use crate::metrics::Answers;
use crate::progress::LogEnd;
use crate::work::Work;

/// How long the task waits before it asks again where the log ends, for the lag and for markers at the end.
const LOG_ENDS: Duration = Duration::from_secs(1);
/// Partitions that are asked at once: each takes a thread while its leader does not answer.
const ASKED_AT_ONCE: usize = 200;
/// How long the task waits before it asks for the settings of the topic again.
const SETTINGS: Duration = Duration::from_secs(60);
/// How long the task waits before it asks ClickHouse again.
const PROBE: Duration = Duration::from_secs(1);

/// Asks where the log ends until it is dropped. Brokers that do not answer delay only this task, not [`answers`]. Each
/// partition is asked by itself: one without a leader does not answer for many seconds.
pub(crate) async fn log_ends(work: Arc<Work>) {
    let mut ticks = interval(LOG_ENDS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut asked, mut asking) = (JoinSet::new(), BTreeSet::new());
    let mut judged: BTreeMap<i32, Option<u64>> = BTreeMap::new();
    loop {
        ticks.tick().await;
        if let Err(error) = work.count_partitions().await {
            tracing::debug!(%error, "the brokers don't answer");
            continue;
        }
        while let Some(answered) = asked.try_join_next() {
            answered.into_iter().for_each(|partition| {
                asking.remove(&partition);
            });
        }
        for partition in work.progress.owned() {
            if asking.len() < ASKED_AT_ONCE && asking.insert(partition) {
                let work = Arc::clone(&work);
                let now = work.progress.judged_to(partition);
                let before = std::mem::replace(judged.entry(partition).or_default(), now);
                asked.spawn(async move {
                    match log_end(&work, partition, before).await {
                        Ok(end) => work.progress.set_log_end(partition, end),
                        Err(error) => tracing::debug!(partition, %error, "the log's end is unknown"),
                    }
                    partition
                });
            }
        }
    }
}

/// `before`: the next offset at the last look. Where an open transaction may hold up a partition is asked only if it is
/// behind and has not moved since: each question costs the broker as much as a small fetch.
async fn log_end(work: &Work, partition: i32, before: Option<u64>) -> Result<LogEnd> {
    let high = work.high_watermark(partition).await?;
    let next = work.progress.judged_to(partition);
    let stands_still = next == before && next.is_none_or(|next| next < high);
    let stable = if stands_still { Some(work.bounds(partition).await?.end) } else { None };
    Ok(LogEnd { high, stable, at: Instant::now() })
}

/// Asks for the settings of the topic until it is dropped: somebody may change them, and then the log loses records.
pub(crate) async fn topic_settings(work: Arc<Work>) {
    let kafka = &work.config.kafka;
    let mut before = Vec::new();
    loop {
        match faulty_settings(kafka).await {
            Ok(faulty) => {
                if faulty != before && !faulty.is_empty() {
                    tracing::error!("{}", how_to_mend(kafka, &faulty));
                }
                work.metrics.topic_has(Some(&faulty));
                before = faulty;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the settings of the topic are unknown");
                work.metrics.topic_has(None);
            }
        }
        sleep(SETTINGS).await;
    }
}

/// Forgets log ends that are old, and asks ClickHouse whether it answers.
pub(crate) async fn answers(work: Arc<Work>) {
    let mut ticks = interval(PROBE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work.progress.forget_old_log_ends();
        if work.progress.includes_log() {
            work.metrics.answers_are_fresh(Answers::Rows);
        }
        match work.database.answers().await {
            Ok(()) => work.progress.clickhouse_answered(),
            Err(error) => tracing::debug!(%error, "ClickHouse does not answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::metrics::Metrics;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_without_a_leader_hides_no_other() {
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic("log", 2, 1).unwrap();
        cluster.partition_leader("log", 0, Some(2)).unwrap();
        cluster.partition_leader("log", 1, Some(1)).unwrap();
        // As if the broker had gone silent.
        cluster.broker_round_trip_time(2, Duration::from_secs(600)).unwrap();
        let brokers = cluster.bootstrap_servers();
        let first = brokers.split(',').next().unwrap();
        let line = ["projector", "run", "--topic", "log", "--kafka-brokers", first];
        let Command::Run(config) = Cli::parse_from(line).command else { unreachable!() };
        let judge = config.judge.load("log").unwrap();
        let work = Arc::new(Work::new(*config, 1, judge, Metrics::new().unwrap()).unwrap());
        work.progress.set_owned(vec![0, 1]);
        let asking = tokio::spawn(log_ends(Arc::clone(&work)));
        while work.progress.log_end(1).is_none() {
            sleep(LOG_ENDS).await;
        }
        // For longer than the silent broker is waited for.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            sleep(LOG_ENDS).await;
            work.progress.forget_old_log_ends();
            let high = |partition| work.progress.log_end(partition).map(|end| end.high);
            assert_eq!((high(0), high(1)), (None, Some(0)));
        }
        asking.abort();
    }
}
