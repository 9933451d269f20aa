//! Everything dies, again and again, while events flow in by HTTP and directly; afterwards every offset
//! has exactly one verdict, and the tables equal those of a quiet projection of the same log.
//!
//! `EYE_CHAOS_FAULTS` says how many faults (a few in `make test`, 200 in `make chaos`), `EYE_CHAOS_SHARDS` on how many
//! ClickHouse servers, `EYE_CHAOS_REBALANCES` for how many seconds projectors come and go, `EYE_CHAOS_SEED` repeats a
//! sequence of faults.

pub(crate) mod faults;
pub(crate) mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::proxy::Proxy;
use harness::{Pipeline, eventually};
use local_stack::{ClickHouseOptions, KafkaOptions, Stack, StackOptions};

use faults::Faults;
use traffic::Traffic;
use uuid::Uuid;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_offset_has_one_verdict_whatever_dies() {
    let count = setting("EYE_CHAOS_FAULTS", 8);
    let seed = setting("EYE_CHAOS_SEED", u64::from(std::process::id()));
    let shards = setting("EYE_CHAOS_SHARDS", 1) as u16;
    eprintln!("chaos: {count} faults, {shards} ClickHouse servers, EYE_CHAOS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let kafka = KafkaOptions { properties: faults::quick_groups(), ..KafkaOptions::default() };
    let clickhouse = ClickHouseOptions { shards, ..ClickHouseOptions::default() };
    let options = StackOptions { kafka, clickhouse, ..StackOptions::default() };
    let stack = Arc::new(Stack::start(options).await.expect("the stack starts"));
    let proxy = Proxy::start(stack.clickhouse.address()).await.expect("a proxy");
    let through = format!("http://{}", proxy.address());
    let pipeline = Arc::new(Pipeline::start_on(Arc::clone(&stack), 3, Some(through)).await);

    let enough = Arc::new(AtomicBool::new(false));
    let http = tokio::spawn(traffic::by_http(Arc::clone(&pipeline), Arc::clone(&enough), random.fork()));
    let direct =
        tokio::spawn(traffic::straight_to_kafka(Arc::clone(&pipeline), Arc::clone(&enough), random.fork()));
    let mut faults = Faults::default();
    for _ in 0..count {
        tokio::time::sleep(Duration::from_millis(random.u64(100..1500))).await;
        faults.inject(&pipeline, &proxy, &mut random).await;
    }
    faults.repair(&pipeline).await;
    enough.store(true, Ordering::Relaxed);
    let (http, direct): (Traffic, Traffic) = (http.await.unwrap(), direct.await.unwrap());
    println!("chaos: faults {:?}", faults.counts());
    check(&pipeline, &http, &direct).await;
}

/// Every few moments a projector begins, dies or stops in order, at some 500 events a second: partitions change hands
/// in the middle of rounds.
#[tokio::test(flavor = "multi_thread")]
async fn every_offset_has_one_verdict_whoever_projects() {
    let seconds = setting("EYE_CHAOS_REBALANCES", 8);
    let seed = setting("EYE_CHAOS_SEED", u64::from(std::process::id()));
    eprintln!("chaos: {seconds} s of rebalances, EYE_CHAOS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let kafka = KafkaOptions { properties: faults::quick_groups(), ..KafkaOptions::default() };
    let stack = Stack::start(StackOptions { kafka, ..StackOptions::default() }).await;
    let pipeline = Arc::new(Pipeline::start_on(Arc::new(stack.expect("the stack starts")), 3, None).await);
    let enough = Arc::new(AtomicBool::new(false));
    let mut by_http =
        || tokio::spawn(traffic::by_http(Arc::clone(&pipeline), Arc::clone(&enough), random.fork()));
    let http = [by_http(), by_http()];
    let direct =
        tokio::spawn(traffic::straight_to_kafka(Arc::clone(&pipeline), Arc::clone(&enough), random.fork()));
    let (began, mut rebalances) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        let projector = &pipeline.projectors[random.usize(..pipeline.projectors.len())].process;
        match random.u8(..3) {
            _ if projector.pid().is_none() => projector.start(),
            0 => projector.kill().await,
            1 => projector.stop().await,
            _ => {
                projector.kill().await;
                projector.start();
            }
        }
        rebalances += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(200..5000))).await;
    }
    Faults::default().repair(&pipeline).await;
    enough.store(true, Ordering::Relaxed);
    let mut all = Traffic::default();
    for sender in http {
        all.add(sender.await.unwrap());
    }
    let direct = direct.await.unwrap();
    let per_second = (all.receipts.len() + direct.receipts.len()) as f64 / began.elapsed().as_secs_f64();
    println!("chaos: {rebalances} times a projector came or went, at {per_second:.0} events a second");
    check(&pipeline, &all, &direct).await;
}

/// Nothing of the traffic is lost or doubled, and the tables equal those of a quiet projection of the same log.
pub(crate) async fn check(pipeline: &Pipeline, http: &Traffic, direct: &Traffic) {
    pipeline.settled().await;
    // The data of a lost shard comes back by and by.
    if pipeline.stack.clickhouse.shards().count() > 1 {
        let healed = async || (pipeline.get("/v1/audit").await["adds_up"] == true).then_some(());
        eventually(faults::PATIENCE, healed).await;
    }
    eventually(Duration::from_secs(120), async || {
        left_of(pipeline, http.erased.union(&direct.erased)).await.is_empty().then_some(())
    })
    .await;

    let verdicts = pipeline.verdicts().await;
    let ends = pipeline.log_ends();
    let in_log: i64 = ends.values().sum();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for verdict in verdicts.values() {
        *outcomes.entry(&verdict.outcome).or_default() += 1;
    }
    println!(
        "chaos: {} acknowledged by HTTP ({} refusals retried), {} directly, {in_log} offsets, verdicts {outcomes:?}",
        http.receipts.len(),
        http.refusals,
        direct.receipts.len()
    );

    // Nothing lost, nothing doubled (`verdicts` fails on two verdicts for an offset).
    let logs =
        || pipeline.projectors.iter().map(|projector| projector.log_end(100)).collect::<Vec<_>>().join("\n");
    assert_eq!(verdicts.len() as i64, in_log, "a verdict for every offset\n{}", logs());
    for (partition, end) in ends {
        let of_partition = verdicts.range((partition as u16, 0)..(partition as u16 + 1, 0)).count();
        assert_eq!(of_partition as i64, end, "partition {partition}");
    }
    for receipt in http.receipts.iter().chain(&direct.receipts) {
        let verdict = verdicts.get(&receipt.place).unwrap_or_else(|| panic!("no verdict for {receipt:?}"));
        if let Some(event_id) = receipt.event_id {
            assert_eq!(verdict.event_id, event_id, "{receipt:?}");
        }
    }
    let audit = pipeline.get("/v1/audit").await;
    assert_eq!(audit["adds_up"], true, "{audit}");
    for expected in ["accepted", "duplicate", "invalid_json", "data_invalid", "erased", "erasure"] {
        assert!(outcomes.contains_key(expected), "the traffic has {expected}: {outcomes:?}");
    }

    // The same log, projected again in peace: the same rows, and the same answers from what is computed of them.
    let answers = answers(pipeline).await;
    let said = pipeline.settings.projector_verb(&["reproject"]).await.expect("reproject");
    println!("{said}");
    assert_eq!(self::answers(pipeline).await, answers);
    let said = pipeline.settings.projector_verb(&["compare", "1", "2"]).await.expect("two equal generations");
    println!("chaos: {said}");
}

/// By days of use, and by sequences.
async fn answers(pipeline: &Pipeline) -> [serde_json::Value; 2] {
    let questions =
        [("/v1/features?limit=1000", "features"), ("/v1/order/transitions?limit=10000", "transitions")];
    let mut answers = Vec::new();
    for (question, rows) in questions {
        pipeline.includes_everything(question).await;
        answers.push(pipeline.get(question).await[rows].take());
    }
    answers.try_into().expect("as many answers as questions")
}

/// The tables that still have something of these sessions.
async fn left_of(pipeline: &Pipeline, sessions: impl Iterator<Item = &Uuid>) -> Vec<String> {
    let sessions: Vec<String> = sessions.map(Uuid::to_string).collect();
    let mut left = Vec::new();
    for table in ["ledger", "events", "rejections", "sequences"] {
        let sql = format!(
            "SELECT count() FROM {}_g1.{table} WHERE toString(session_id) IN {{sessions:Array(String)}}",
            pipeline.settings.database
        );
        let query = pipeline.clickhouse().query(&sql).param("sessions", &sessions);
        if query.fetch_one::<u64>().await.expect("the rows") > 0 {
            left.push(table.to_owned());
        }
    }
    left
}
