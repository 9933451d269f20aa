//! A process that dies, sleeps or comes back writes nothing twice and loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use local_stack::{START, Stack, StackOptions};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::bed::{Bed, PATIENCE, eventually};

fn one(topic: &str, partition: i32, offset: i64, metadata: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, partition);
    element.set_offset(Offset::Offset(offset)).unwrap();
    element.set_metadata(metadata);
    list
}

/// Commits an offset to an empty group.
pub(crate) async fn commit(bed: &Bed, offset: i64, metadata: &str) {
    let (config, metadata) = (bed.config.clone(), metadata.to_owned());
    tokio::task::spawn_blocking(move || {
        let group = config.group_of(1);
        let consumer: BaseConsumer = config.kafka.client(&[("group.id", &group)]).create().unwrap();
        consumer.commit(&one(&config.kafka.topic, 0, offset, &metadata), CommitMode::Sync).unwrap();
    })
    .await
    .unwrap();
}

pub(crate) async fn metric(url: &str, name: &str) -> Option<f64> {
    let text = reqwest::get(format!("{url}/metrics")).await.ok()?.text().await.ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_stopped_past_its_session_writes_nothing_twice() {
    // Chunks stay open for long, so that the projector is stopped with one in its memory.
    let bed = Bed::new(&["--quick-ms", "3000"]).await;
    bed.send_events(10).await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let zombie = bed.process(&["--quick-ms", "3000"], log.reopen().unwrap().into());
    let url = zombie.url.clone();
    eventually("an open chunk", || async {
        metric(&url, "eye_projector_chunk_bytes").await.filter(|bytes| *bytes > 0.0)
    })
    .await;
    zombie.signal(Signal::STOP);

    let successor = bed.projector().await;
    assert_eq!(bed.verdicts(10).await, ["accepted"; 10]);
    bed.send_events(5).await;
    bed.verdicts(15).await;

    zombie.signal(Signal::CONT);
    eventually("the zombie's intent is refused", || async {
        std::fs::read_to_string(log.path()).unwrap().contains("refused").then_some(())
    })
    .await;
    bed.send_events(5).await;
    bed.verdicts(20).await;
    successor.stop().await;
    zombie.stop().await;
    assert_eq!(bed.counts().await, [(20, 20), (20, 20), (0, 0)]);
    assert!(bed.verb(&["audit"]).await.0);
}

/// The broker accepts such a commit. So the loop must forget a revoked partition before it commits anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_broker_lets_a_member_commit_what_it_does_not_own() {
    let bed = Bed::new(&[]).await;
    let config = bed.config.clone();
    tokio::task::spawn_blocking(move || {
        let member = || -> BaseConsumer {
            let options = [("group.id", "trap"), ("group.protocol", "consumer")];
            let consumer: BaseConsumer = config.kafka.client(&options).create().unwrap();
            consumer.subscribe(&[&config.kafka.topic]).unwrap();
            consumer
        };
        let (one_member, other) = (member(), member());
        let owns = |consumer: &BaseConsumer| consumer.assignment().unwrap().count() == 1;
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while !(owns(&one_member) || owns(&other)) {
            assert!(std::time::Instant::now() < end, "no assignment");
            one_member.poll(Duration::from_millis(50));
            other.poll(Duration::from_millis(50));
        }
        let bystander = if owns(&one_member) { &other } else { &one_member };
        let end = std::time::Instant::now() + Duration::from_secs(60);
        // The bystander has to have joined; then its commit succeeds.
        loop {
            bystander.poll(Duration::from_millis(50));
            let list = one(&config.kafka.topic, 0, 0, "not mine");
            match bystander.commit(&list, CommitMode::Sync) {
                Ok(()) => break,
                Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
            }
        }
        assert_eq!(bystander.assignment().unwrap().count(), 0);
    })
    .await
    .unwrap();
}

/// ClickHouse refuses a second statement with the same id. A name of a round is random; even an analyst who knows one
/// can't tell the statement's id.
#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_cannot_hold_up_an_insert_by_its_id() {
    let bed = Bed::new(&["--chunk-rows", "10"]).await;
    commit(&bed, 0, "2:10:known").await;
    let id = format!("{}:{}:known:0", bed.config.clickhouse.generation(1), bed.config.kafka.topic);
    let analyst = clickhouse::Client::default().with_url(&bed.config.clickhouse.url).with_user("analyst");
    // Takes a minute, in blocks of two seconds.
    let slow = analyst.query("SELECT max(sleepEachRow(0.00003)) FROM numbers(20000000)");
    let slow = tokio::spawn(slow.with_setting("query_id", &id).fetch_one::<u8>());
    let is_held = async || {
        let held = "SELECT count() FROM system.processes WHERE user = 'analyst' AND query_id = {id:String}";
        bed.tables().query(held).param("id", &id).fetch_one::<u64>().await.unwrap() == 1
    };
    eventually("the analyst has the id", async || is_held().await.then_some(())).await;
    bed.send_events(10).await;
    let running = bed.projector().await;
    bed.settled(10).await;
    assert!(is_held().await, "the insert waited for the analyst");
    slow.abort();
    running.stop().await;
    assert_eq!(bed.counts().await, [(10, 10), (10, 10), (0, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_comes_after_the_deduplication_window() {
    let bed = Bed::new(&["--chunk-rows", "10"]).await;
    for table in ["ledger", "events", "rejections"] {
        bed.execute(&format!("ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 3"))
            .await;
    }
    bed.send_events(10).await;
    commit(&bed, 0, "2:10:known").await;
    let running = bed.projector().await;
    bed.settled(10).await;
    bed.late_insert("known", 10).await;
    assert_eq!(bed.counts().await, [(10, 10), (10, 10), (0, 0)], "inside the window it is dropped");

    bed.send_events(100).await;
    bed.settled(110).await;
    running.stop().await;
    bed.late_insert("known", 10).await;
    assert_eq!(bed.counts().await, [(120, 110), (120, 110), (0, 0)], "outside the window it doubles rows");
    let (clean, said) = bed.verb(&["audit", "--heal"]).await;
    assert!(clean && said.contains("20 doubled"), "{said}");
    assert_eq!(bed.counts().await, [(110, 110), (110, 110), (0, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_its_rows() {
    let bed = Bed::new(&["--chunk-rows", "10"]).await;
    bed.send_events(10).await;
    commit(&bed, 0, "2:10:known").await;
    let running = bed.projector().await;
    bed.settled(10).await;
    running.stop().await;
    // A kill between the write of the deduplication log and the rename of the part leaves an open intent and a known
    // token without rows: first in one table, then in all.
    for lost in [&["ledger"][..], &["events"], &["ledger", "events"]] {
        commit(&bed, 0, "2:10:known").await;
        for table in lost {
            bed.execute(&format!("ALTER TABLE {table} DELETE WHERE offset < 10")).await;
        }
        let running = bed.projector().await;
        bed.settled(10).await;
        running.stop().await;
        assert_eq!(bed.counts().await, [(10, 10), (10, 10), (0, 0)], "lost in {lost:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_and_the_broker_are_killed() {
    let stack = Stack::start(StackOptions::default()).await.unwrap();
    let bed = Bed::on(Arc::new(stack), &["--chunk-rows", "50"]).await;
    let running = bed.projector().await;
    let mut sent = 0;
    for round in 0..4 {
        bed.send_events(200).await;
        sent += 200;
        let victim = if round == 2 { &bed.stack.kafka.process } else { &bed.stack.clickhouse.process };
        victim.kill().await;
        victim.start();
        victim.ready(START).await.unwrap();
    }
    bed.send_events(10).await;
    sent += 10;
    bed.settled(sent).await;
    running.stop().await;
    assert_eq!(bed.counts().await, [(sent, sent), (sent, sent), (0, 0)]);
    assert!(bed.verb(&["audit"]).await.0);
}

/// librdkafka waits for ever for the answer to a commit: without a limit of ours, only SIGKILL would end the projector.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_does_not_keep_a_projector_from_stopping() {
    let stack = Stack::start(StackOptions::default()).await.unwrap();
    let bed = Bed::on(Arc::new(stack), &[]).await;
    let running = bed.projector().await;
    bed.send_events(20).await;
    bed.verdicts(20).await;
    // The pause comes in time: the commit that closes the chunk waits for a second without records.
    bed.stack.kafka.process.pause();
    tokio::time::timeout(Duration::from_secs(60), running.stop()).await.expect("it stops");
    bed.stack.kafka.process.resume();
    bed.send_events(20).await;
    let running = bed.projector().await;
    bed.settled(40).await;
    running.stop().await;
    assert_eq!(bed.counts().await, [(40, 40), (40, 40), (0, 0)]);
    assert!(bed.verb(&["audit"]).await.0);
}

/// A silent server leaves no old value: neither a lag nor readiness.
#[tokio::test(flavor = "multi_thread")]
async fn readyz_reports_silent_brokers_and_a_silent_clickhouse() {
    let stack = Stack::start(StackOptions::default()).await.unwrap();
    let bed = Bed::on(Arc::new(stack), &[]).await;
    let running = bed.projector().await;
    bed.send_events(5).await;
    bed.verdicts(5).await;
    let ready = async |expected: &str| {
        eventually(&format!("/readyz says {expected}"), || async {
            let answer = reqwest::get(format!("{}/readyz", running.url)).await.ok()?.text().await.ok()?;
            answer.contains(expected).then_some(())
        })
        .await;
    };
    let lag = || async { metric(&running.url, "eye_projector_lag_offsets{partition=\"0\"}").await };
    let silent = || async { lag().await.is_none().then_some(()) };
    let told = || async { lag().await.filter(|lag| *lag == 0.0) };
    ready("\"status\":\"ok\"").await;
    eventually("a lag", told).await;

    bed.stack.kafka.process.pause();
    ready("waiting for the brokers").await;
    eventually("no lag", silent).await;
    let health = reqwest::get(format!("{}/healthz", running.url)).await.unwrap();
    assert!(health.status().is_success(), "a silent broker is no reason to restart the projector");
    bed.stack.kafka.process.resume();
    ready("\"status\":\"ok\"").await;
    eventually("a lag", told).await;

    bed.stack.clickhouse.process.pause();
    ready("waiting for ClickHouse").await;
    bed.stack.clickhouse.process.resume();
    ready("\"status\":\"ok\"").await;
    running.stop().await;

    // These brokers were never reached.
    let mut config = bed.config.clone();
    config.kafka.brokers = "127.0.0.1:1".into();
    let running = bed.projector_with(config).await;
    let answer = eventually("an answer", || async {
        let answer = reqwest::get(format!("{}/readyz", running.url)).await.ok()?.text().await.ok()?;
        (!answer.contains("waiting for ClickHouse")).then_some(answer)
    })
    .await;
    assert!(answer.contains("waiting for the brokers"), "{answer}");
    running.stop().await;
}

/// No waiting mends a wrong password.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_the_service_with_a_word() {
    let bed = Bed::new(&[]).await;
    let mut program = bed.program(&["run", "--listen", "127.0.0.1:0"]);
    program.env("EYE_CLICKHOUSE_PASSWORD", "wrong");
    let mut program = tokio::process::Command::from(program);
    let ended =
        tokio::time::timeout(PATIENCE, program.kill_on_drop(true).output()).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(said.contains("ClickHouse refuses user writer with this password"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_limits_do_not_stall_a_partition() {
    let bed = Bed::new(&["--chunk-memory", "1", "--chunk-rows", "7", "--chunk-bytes", "2000"]).await;
    bed.send_events(100).await;
    let running = bed.projector().await;
    bed.settled(100).await;
    running.stop().await;
    assert_eq!(bed.counts().await, [(100, 100), (100, 100), (0, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_whose_insert_never_came() {
    let bed = Bed::new(&[]).await;
    bed.send_events(30).await;
    // The second one is of an earlier release.
    for (intent, end) in [("2:20:known", 30), ("1:50", 60)] {
        commit(&bed, end - 30, intent).await;
        let running = bed.projector().await;
        bed.verdicts(end as u64).await;
        bed.settled(end as u64).await;
        running.stop().await;
        assert_eq!(bed.counts().await[0], (end as u64, end as u64));
        bed.send_events(30).await;
    }
}

/// Every third of the first nine connections to ClickHouse is cut, first once the serving generation is known.
#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_do_not_end_a_starting_projector() {
    let bed = Bed::new(&[]).await;
    let offset = bed.send(b"not an event").await;
    let clickhouse = bed.stack.clickhouse.address();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = bed.config.clone();
    config.clickhouse.url = format!("http://{}", listener.local_addr().unwrap());
    let cut = Arc::new(AtomicU32::new(0));
    let network = tokio::spawn({
        let cut = Arc::clone(&cut);
        async move {
            for number in 0.. {
                let (mut ours, _) = listener.accept().await.unwrap();
                if number % 3 == 2 && number < 9 {
                    // The cut waits for a request: without one, hyper would send it again.
                    let _ = ours.readable().await;
                    cut.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                tokio::spawn(async move {
                    let mut theirs = TcpStream::connect(clickhouse).await.unwrap();
                    let _ = copy_bidirectional(&mut ours, &mut theirs).await;
                });
            }
        }
    });
    let projector = bed.projector_with(config).await;
    bed.verdicts(offset + 1).await;
    projector.stop().await;
    network.abort();
    assert!(cut.load(Ordering::Relaxed) >= 1, "no connection was cut");
}
