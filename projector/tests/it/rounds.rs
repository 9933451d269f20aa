//! Rounds: several partitions in one commit and one insert.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::FutureRecord;
use rdkafka::{Offset, message::Header, message::OwnedHeaders};

use crate::bed::{Bed, PATIENCE, Running, event, eventually};
use crate::zombies::metric;

const PARTITIONS: i32 = 3;

/// Writes to each partition so many valid events, and to all but the first as many records that are not JSON.
async fn send(bed: &Bed, events: usize) {
    for partition in 0..PARTITIONS {
        for _ in 0..events {
            let valid = event(uuid::Uuid::new_v4());
            let mut values = vec![valid.as_str()];
            if partition > 0 {
                values.push("not JSON");
            }
            for value in values {
                let record = FutureRecord::<[u8], [u8]>::to(&bed.config.kafka.topic)
                    .partition(partition)
                    .headers(OwnedHeaders::new().insert(Header { key: "app", value: Some("demo") }))
                    .payload(value.as_bytes());
                bed.producer.send(record, PATIENCE).await.map_err(|(error, _)| error).unwrap();
            }
        }
    }
}

async fn wide(arguments: &[&str]) -> Bed {
    let bed = Bed::new(arguments).await;
    bed.widen(PARTITIONS as usize).await;
    bed
}

/// What the group has committed, by partition.
async fn committed(bed: &Bed) -> BTreeMap<i32, (i64, String)> {
    with_group(bed, |consumer, topic| {
        let mut list = TopicPartitionList::new();
        (0..PARTITIONS).for_each(|partition| {
            list.add_partition(topic, partition);
        });
        let found = consumer.committed_offsets(list, PATIENCE).unwrap();
        let of = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            Some((element.partition(), (element.offset().to_raw()?, element.metadata().to_owned())))
        };
        found.elements().iter().filter_map(of).collect()
    })
    .await
}

/// Commits by hand, to an empty group, that a round of all partitions was announced.
async fn announce(bed: &Bed, ends: [i64; PARTITIONS as usize], round: &str) {
    let round = round.to_owned();
    with_group(bed, move |consumer, topic| {
        let mut list = TopicPartitionList::new();
        for (partition, end) in (0..).zip(ends) {
            let mut element = list.add_partition(topic, partition);
            element.set_offset(Offset::Offset(0)).unwrap();
            element.set_metadata(format!("2:{end}:{round}"));
        }
        consumer.commit(&list, CommitMode::Sync).unwrap();
    })
    .await
}

async fn with_group<T: Send + 'static>(
    bed: &Bed,
    ask: impl FnOnce(&BaseConsumer, &str) -> T + Send + 'static,
) -> T {
    let config = bed.config.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let group = config.group_of(1);
        let consumer: BaseConsumer = config.kafka.client(&[("group.id", &group)]).create().unwrap();
        ask(&consumer, &config.kafka.topic)
    });
    asked.await.unwrap()
}

/// Waits until each partition is settled up to its end.
async fn settled(bed: &Bed, ends: [i64; PARTITIONS as usize]) {
    let expected: BTreeMap<i32, (i64, String)> =
        (0..).zip(ends).map(|(partition, end)| (partition, (end, String::new()))).collect();
    eventually("all partitions settled", || async { (committed(bed).await == expected).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_round_holds_the_rows_of_all_partitions() {
    let bed = wide(&["--quick-ms", "500"]).await;
    let running = bed.projector().await;
    let (began, mut sent) = (Instant::now(), 0);
    // An intent stays for as long as records come: sooner or later one of all partitions is seen.
    loop {
        send(&bed, 1).await;
        sent += 1;
        let committed = committed(&bed).await;
        let rounds: BTreeSet<&str> =
            committed.values().map(|(_, metadata)| metadata.splitn(3, ':').nth(2).unwrap_or("")).collect();
        if committed.len() == PARTITIONS as usize && rounds.len() == 1 && !rounds.contains("") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no round of all partitions: {committed:?}");
    }
    settled(&bed, [sent, sent * 2, sent * 2]).await;
    running.stop().await;
    let reasons: Vec<String> = bed
        .tables()
        .query("SELECT DISTINCT toString(reasons.code) FROM rejections")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(reasons, ["['invalid_json']"], "each row of a block of several chunks has its own reasons");
    assert_eq!(bed.rows().await, [sent * 5, sent * 3, sent * 2].map(|rows| rows as u64));
    assert!(bed.verb(&["audit"]).await.0);
}

/// A projector that completes a round of five records a partition, ten in all but the first, which a dead one
/// announced.
async fn completed(bed: &Bed) -> Running {
    announce(bed, [5, 10, 10], "known").await;
    let running = bed.projector().await;
    settled(bed, [5, 10, 10]).await;
    running
}

/// A projector died after it had announced a round. Each partition is completed by itself, under the same token; the
/// insert of the dead one comes after all.
#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_comes_after_its_round_was_completed_is_dropped() {
    let bed = wide(&[]).await;
    send(&bed, 5).await;
    let running = completed(&bed).await;
    assert_eq!(bed.rows().await, [25, 15, 10]);
    bed.late_insert("known", 10).await;
    running.stop().await;
    assert_eq!(bed.rows().await, [25, 15, 10]);
    assert!(bed.verb(&["audit"]).await.0);
}

/// The insert of the dead projector comes before anybody looks, or in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_of_which_some_rows_are_there_is_completed() {
    let bed = wide(&[]).await;
    send(&bed, 5).await;
    completed(&bed).await.stop().await;
    for (table, partitions) in
        [("ledger", "0"), ("events", "0, 2"), ("rejections", "2"), ("events", "0, 1, 2")]
    {
        bed.execute(&format!("ALTER TABLE {table} DELETE WHERE partition IN ({partitions})")).await;
        completed(&bed).await.stop().await;
        assert_eq!(bed.rows().await, [25, 15, 10], "{table} of {partitions}");
    }
    assert!(bed.verb(&["audit"]).await.0);
}

/// Members come and go while chunks are open. Each time, partitions move: one that comes gets some of those that are
/// being read, and those of one that goes pass to the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_takes_partitions_with_open_chunks() {
    let bed = wide(&["--quick-ms", "2000"]).await;
    let mut members = vec![bed.projector().await];
    let mut sent = 0;
    for change in 0..6 {
        let owned =
            format!("eye_projector_partitions{{database=\"{}\"}}", bed.config.clickhouse.generation(1));
        eventually("each member has partitions, and each partition one member", || async {
            let mut all = 0.0;
            for member in &members {
                let owned = metric(&member.url, &owned).await?;
                all += if owned > 0.0 { owned } else { f64::NAN };
            }
            (all == f64::from(PARTITIONS)).then_some(())
        })
        .await;
        send(&bed, 10).await;
        sent += 10;
        match change % 2 {
            0 => members.push(bed.projector().await),
            _ => members.remove(0).stop().await,
        }
    }
    settled(&bed, [sent, sent * 2, sent * 2]).await;
    for member in members {
        member.stop().await;
    }
    assert_eq!(bed.rows().await, [sent * 5, sent * 3, sent * 2].map(|rows| rows as u64));
    assert!(bed.verb(&["audit"]).await.0);
}
