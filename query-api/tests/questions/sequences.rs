//! `sequences` can't be made wrong: not by several writers, not by loss, not by what arrives out of turn.

use projector::keep::usage::Counted;
use serde_json::Value;
use uuid::Uuid;

use crate::demo;
use crate::world::{World, ask_during, json};

async fn transitions(world: &World) -> Value {
    world.get("/v1/order/transitions?limit=10000").await["transitions"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_writers_loss_and_surplus() {
    let mut world = World::new().await;
    let events: Vec<_> = demo::events().into_iter().take(6000).collect();
    world.append(&events[..3000], 500).await;
    // Three projectors at the same work, all of them with every feature to number.
    tokio::join!(world.refresh(), world.refresh(), world.refresh());
    let numbered: Vec<u16> =
        world.tables.query("SELECT id FROM features ORDER BY id").fetch_all().await.unwrap();
    assert_eq!(numbered, (1..=numbered.len() as u16).collect::<Vec<_>>());
    let distinct: u64 =
        world.tables.query("SELECT uniqExact(category, name) FROM features").fetch_one().await.unwrap();
    assert_eq!(distinct, numbered.len() as u64);

    // A row of before that arrives after the row of now.
    world.tables.query("CREATE TABLE old AS sequences").execute().await.unwrap();
    world.tables.query("INSERT INTO old SELECT * FROM sequences FINAL").execute().await.unwrap();
    world.append(&events[3000..], 500).await;
    world.refresh().await;
    let right = transitions(&world).await;
    world.tables.query("INSERT INTO sequences SELECT * FROM old").execute().await.unwrap();
    assert_eq!(transitions(&world).await, right);

    let verify = async || {
        projector::keep::sequences::verify(&world.servers).await.unwrap();
        world.refresh().await;
    };
    let delete =
        "ALTER TABLE sequences DELETE WHERE cityHash64(session_id) % 5 = 0 SETTINGS mutations_sync = 1";
    world.tables.query(delete).execute().await.unwrap();
    assert_ne!(transitions(&world).await, right);
    verify().await;
    assert_eq!(transitions(&world).await, right);

    let surplus =
        "INSERT INTO sequences SELECT generateUUIDv4(), events, features, times, apps FROM old LIMIT 3";
    world.tables.query(surplus).execute().await.unwrap();
    assert_ne!(transitions(&world).await, right);
    verify().await;
    assert_eq!(transitions(&world).await, right);

    // Events gone behind our back, then healed: a range below the position.
    let lose = "ALTER TABLE events DELETE WHERE partition = 2 AND offset >= 10 SETTINGS mutations_sync = 1";
    world.tables.query("CREATE TABLE kept AS events").execute().await.unwrap();
    world
        .tables
        .query("INSERT INTO kept SELECT * FROM events WHERE partition = 2 AND offset >= 10")
        .execute()
        .await
        .unwrap();
    world.tables.query(lose).execute().await.unwrap();
    projector::keep::sequences::refresh_range(&world.servers, 2, 10, 100_000).await.unwrap();
    assert_ne!(transitions(&world).await, right);
    world.tables.query("INSERT INTO events SELECT * FROM kept").execute().await.unwrap();
    projector::keep::sequences::refresh_range(&world.servers, 2, 10, 100_000).await.unwrap();
    assert_eq!(transitions(&world).await, right);
}

/// A long catching up leaves many parts, each of which is read by itself.
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_recomputed_in_bounded_memory_however_many_parts_there_are() {
    const PARTS: u64 = 80;
    let world = World::new().await;
    let run = async |sql: &str| world.tables.query(sql).execute().await.unwrap();
    run("ALTER TABLE events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1").await;
    for part in 0..PARTS {
        run(&format!(
            "INSERT INTO events (session_id, timestamp, partition, offset, category, name, app) \
             SELECT reinterpretAsUUID(toUInt128(cityHash64(number % 20000))), fromUnixTimestamp64Micro(1735689600000000 + number), 0, \
                 number, 'c', toString(number % 50), repeat('web', 60) FROM numbers({}, 20000)",
            part * 20_000
        ))
        .await;
    }
    let events = PARTS * 20_000;
    run(&format!("INSERT INTO ledger (offset, verdict) VALUES ({}, 'accepted')", events - 1)).await;
    let parts =
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active";
    assert_eq!(world.tables.query(parts).fetch_one::<u64>().await.unwrap(), PARTS);

    projector::keep::sequences::refresh(&world.servers, &[(0, events)].into()).await.unwrap();
    assert_eq!(projector::keep::usage::refresh(&world.servers).await.unwrap(), Counted::Everything);
    let usage = world.get("/v1/usage?interval=month&from=2025-01-01T00:00:00Z&to=2025-02-01T00:00:00Z").await;
    assert_eq!(usage["series"][0]["events"], events);
    assert_eq!(usage["series"][0]["sessions"], 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_counts_once_while_its_rows_come_again_and_are_merged() {
    let mut world = World::new().await;
    let events = demo::events();
    world.append(&events[..6000], 2000).await;
    world.refresh().await;
    world.tables.query("CREATE TABLE old AS sequences").execute().await.unwrap();
    world.tables.query("INSERT INTO old SELECT * FROM sequences").execute().await.unwrap();
    world.append(&events[6000..12000], 2000).await;
    world.refresh().await;
    world.tables.query("CREATE TABLE new AS sequences").execute().await.unwrap();
    world.tables.query("INSERT INTO new SELECT * FROM sequences FINAL").execute().await.unwrap();
    let right = transitions(&world).await;

    // Older and newer rows of the same sessions, in parts that are merged while they are read.
    let write = async {
        for round in 0..60 {
            for from in ["old", "new"] {
                let rows = format!(
                    "INSERT INTO sequences SELECT * FROM {from} WHERE cityHash64(session_id) % 7 = {}",
                    round % 7
                );
                world.tables.query(&rows).execute().await.unwrap();
            }
            if round % 3 == 2 {
                world.tables.query("OPTIMIZE TABLE sequences FINAL").execute().await.unwrap();
            }
        }
    };
    ask_during(write, 4, async || assert!(transitions(&world).await == right)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_without_a_number_waits_for_the_next_pass() {
    let mut world = World::new().await;
    let mut events: Vec<_> = demo::events().into_iter().take(300).collect();
    let mut last = events.split_off(290);
    world.append(&events, 100).await;
    world.refresh().await;
    let questions =
        ["/v1/order/transitions?limit=10000", "/v1/features?limit=100", "/v1/order/entries?limit=100"];
    let funnel = serde_json::json!({"steps": [{"category": "brand", "name": "new"}]});
    let answers = async |world: &World| {
        let mut answers = Vec::new();
        for question in questions {
            answers.push(world.get(question).await);
        }
        answers.push(world.post("/v1/order/funnel", &funnel).await);
        answers
    };
    let before = answers(&world).await;
    (last[3].category, last[3].name) = ("brand".into(), "new".into());
    world.append(&last, 10).await;
    assert_eq!(answers(&world).await, before, "an answer includes all of an event, or says that it does not");
    world.refresh().await;
    let after = answers(&world).await;
    assert!(after.iter().all(|answer| answer["as_of"]["positions"] == world.whole_log()), "{after:?}");
    assert_eq!(after[3]["steps"][0]["sessions"], 1);
}

/// An insert's rows are in the ledger before they are in `events`, or after: the order of the tables is chance.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_the_events_that_it_says_it_has() {
    let mut world = World::new().await;
    let mut events: Vec<_> = demo::events().into_iter().take(4000).collect();
    // None is a duplicate: each offset is an event.
    events.iter_mut().zip(1..).for_each(|(event, id)| event.event_id = Uuid::from_u128(id));
    let request = world.request("/v1/features");
    let looking = tokio::spawn(async move {
        let (mut moves, mut last) = (0, 0);
        while last < 4000 {
            let answer = request.try_clone().unwrap().send().await.unwrap();
            let answer = json(answer, "/v1/features").await;
            let counted = answer["total"]["events"].as_u64().unwrap();
            let included = answer["as_of"]["positions"].as_object().unwrap();
            let included = included.values().map(|position| position.as_u64().unwrap()).sum();
            assert!(counted >= included, "{counted} events are counted, {included} are said to be");
            moves += u64::from(included != last);
            last = included;
        }
        moves
    });
    for part in events.chunks(1000) {
        world.append(part, 10).await;
        world.refresh().await;
    }
    let moves = looking.await.unwrap();
    assert!(moves > 20, "the answer was seen to move {moves} times");
}
