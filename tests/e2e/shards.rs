//! Several ClickHouse servers, each a shard of its own: the answers of one server, and a shard that is lost comes back from
//! the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{Pipeline, demo, eventually};

use crate::chaos::faults::{PATIENCE, has_tables, lose};
use crate::chaos::{check, traffic};
use crate::demo::gives_the_reference_answers;

/// Counts as each shard gives them, asked by itself.
async fn counts(pipeline: &Pipeline, table: &str) -> Vec<(u64, u64)> {
    let mut counts = Vec::new();
    for shard in pipeline.stack.clickhouse.shards() {
        let database = &pipeline.settings.database;
        let sql = format!(
            "SELECT count(), assumeNotNull((SELECT count() FROM {database}_g1_local.{table})) FROM {database}.{table}"
        );
        counts.push(pipeline.writer_of(&shard.url()).query(&sql).fetch_one().await.expect(&sql));
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn three_shards_give_the_reference_answers() {
    let pipeline = Pipeline::start_on_shards(3, 2).await;
    let events = demo::events();
    gives_the_reference_answers(&pipeline, &events).await;
    // Every server shows all of it, and holds a part.
    let counts = counts(&pipeline, "events").await;
    assert!(counts.iter().all(|(all, own)| *all == counts[0].0 && (1..*all).contains(own)), "{counts:?}");
    assert_eq!(counts.iter().map(|(_, own)| own).sum::<u64>(), counts[0].0, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_lost_comes_back_from_the_log() {
    let pipeline = Arc::new(Pipeline::start_on_shards(2, 2).await);
    let enough = Arc::new(AtomicBool::new(false));
    let mut random = fastrand::Rng::with_seed(22);
    let http = tokio::spawn(traffic::by_http(Arc::clone(&pipeline), Arc::clone(&enough), random.fork()));
    let direct =
        tokio::spawn(traffic::straight_to_kafka(Arc::clone(&pipeline), Arc::clone(&enough), random.fork()));
    let a_while = async || tokio::time::sleep(Duration::from_secs(2)).await;
    let [first, second] = pipeline.stack.clickhouse.shards().collect::<Vec<_>>()[..] else { unreachable!() };

    for shard in [second, first] {
        a_while().await;
        shard.process.kill().await;
        a_while().await;
        shard.process.start();
        shard.process.ready(PATIENCE).await.expect("the shard is back");
    }
    let database = format!("{}_g1_local", pipeline.settings.database);
    for shard in [first, second] {
        a_while().await;
        let writer = pipeline.writer_of(&shard.url());
        writer.query(&format!("DROP DATABASE {database} SYNC")).execute().await.expect("dropped");
        has_tables(&pipeline, shard).await;
    }
    for shard in [second, first] {
        a_while().await;
        lose(&pipeline, shard).await;
    }
    enough.store(true, Ordering::Relaxed);
    let (http, direct) = (http.await.unwrap(), direct.await.unwrap());
    eventually(PATIENCE, async || (pipeline.ask("/v1/audit").await.1["adds_up"] == true).then_some(())).await;
    check(&pipeline, &http, &direct).await;
}
