//! The days of use say what the events say: after many small runs, after tampering, after healing.

use std::time::Duration;

use projector::keep::usage::Counted;
use projector::keep::{epochs, usage};
use serde_json::Value;
use uuid::Uuid;

use crate::demo;
use crate::world::{Sent, World};

/// From the days, and the same from the sequences, which whole days alone can't answer.
async fn both(world: &World) -> [Value; 2] {
    let mut answers = Vec::new();
    for range in ["", "&from=1900-01-01T00:00:00.000001Z"] {
        let features = world.get(&format!("/v1/features?order=most{range}")).await;
        let series = world.get(&format!("/v1/usage?interval=week{range}")).await["series"].clone();
        let used: Vec<Value> =
            series.as_array().unwrap().iter().filter(|bucket| bucket["events"] != 0).cloned().collect();
        let apps = world.get(&format!("/v1/apps?app=shop{range}")).await["apps"].clone();
        let [features, total] = ["features", "total"].map(|key| features[key].clone());
        answers.push(Value::from(vec![features, Value::from(used), apps, total]));
    }
    answers.try_into().unwrap()
}

async fn number(world: &World, sql: &str) -> u64 {
    world.tables.query(sql).fetch_one().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_tampering_and_healing() {
    let mut world = World::new().await;
    let events: Vec<_> = demo::events().into_iter().take(4000).collect();
    for part in events.chunks(100) {
        world.append(part, 100).await;
        world.refresh().await;
    }
    let [days, sequences] = both(&world).await;
    assert_eq!(days, sequences);
    let named = "SELECT length(runs) FROM usage_epochs ORDER BY arraySum(positions) DESC, epoch DESC LIMIT 1";
    let runs = number(&world, named).await;
    assert!((1..=8).contains(&runs), "{runs} runs of {} looks", events.len() / 100);
    assert_eq!(usage::refresh(&world.servers).await.unwrap(), Counted::Nothing);

    // Folded runs go, the others stay.
    let kept = "SELECT uniqExact(run) FROM usage_days";
    assert!(number(&world, kept).await > runs);
    epochs::forget(&world.servers, Duration::ZERO).await.unwrap();
    assert_eq!(number(&world, kept).await, runs);
    assert_eq!(both(&world).await[0], sequences);

    // Without a range, a few rows for each feature are read, and none for its days.
    let all = "EXPLAIN SELECT key, sum(events), sumIf(events, previous = 0), min(first), max(last) \
               FROM usage_days WHERE run IN (SELECT arrayJoin(runs) FROM usage_epoch) AND kind = 2 AND app = '' GROUP BY key";
    let plan: Vec<String> = world.tables.query(all).fetch_all().await.unwrap();
    assert!(plan.iter().any(|line| line.contains("totals")), "{plan:#?}");

    // A run that no epoch names is not counted; a row too many in one that counts is.
    let add = "INSERT INTO usage_days SELECT * REPLACE ({run} AS run) FROM usage_days LIMIT 1";
    world.tables.query(&add.replace("{run}", "1")).execute().await.unwrap();
    assert_eq!(both(&world).await[0], sequences);
    usage::verify(&world.servers).await.unwrap();
    assert_eq!(usage::refresh(&world.servers).await.unwrap(), Counted::Nothing);
    world.tables.query(&add.replace("{run}", "run")).execute().await.unwrap();
    let more = "INSERT INTO usage_days SELECT * FROM usage_days WHERE kind = 0 AND app = ''";
    world.tables.query(more).execute().await.unwrap();
    assert_ne!(both(&world).await[0], sequences);
    usage::verify(&world.servers).await.unwrap();
    assert_eq!(both(&world).await[0], sequences, "without days, the sequences answer");
    assert_eq!(usage::refresh(&world.servers).await.unwrap(), Counted::Everything);
    assert_eq!(both(&world).await[0], sequences);

    // Events gone and healed below the position: what was counted before is withdrawn.
    let lose = "ALTER TABLE events DELETE WHERE partition = 2 AND offset >= 10 SETTINGS mutations_sync = 1";
    world.tables.query("CREATE TABLE kept AS events").execute().await.unwrap();
    let keep = "INSERT INTO kept SELECT * FROM events WHERE partition = 2 AND offset >= 10";
    world.tables.query(keep).execute().await.unwrap();
    world.tables.query(lose).execute().await.unwrap();
    projector::keep::sequences::refresh_range(&world.servers, 2, 10, 100_000).await.unwrap();
    usage::refresh(&world.servers).await.unwrap();
    let [days, without] = both(&world).await;
    assert_eq!(days, without);
    assert_ne!(without, sequences);
    world.tables.query("INSERT INTO events SELECT * FROM kept").execute().await.unwrap();
    projector::keep::sequences::refresh_range(&world.servers, 2, 10, 100_000).await.unwrap();
    assert_eq!(both(&world).await[0], sequences);
    assert_eq!(usage::refresh(&world.servers).await.unwrap(), Counted::Everything);
    assert_eq!(both(&world).await, [sequences.clone(), sequences]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_may_be_the_first_of_its_day() {
    let mut world = World::new().await;
    let event = demo::events().remove(0);
    let at = |seconds: i64| Sent {
        event_id: Uuid::from_u128(seconds as u128),
        time: event.time - event.time % 86_400_000_000 + seconds * 1_000_000,
        ..event.clone()
    };
    // The second is where the first was, among the events of its day; the third follows both.
    for (seconds, first, last) in [(3, "03.", "03."), (1, "01.", "03."), (5, "01.", "05.")] {
        world.append(&[at(seconds)], 1).await;
        world.refresh().await;
        let [days, sequences] = both(&world).await;
        assert_eq!(days, sequences);
        let seen = |what: &str| days[0][0][what].as_str().unwrap().to_owned();
        assert!(seen("first_seen").contains(first) && seen("last_seen").contains(last), "{days}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_range_is_answered_from_its_events() {
    let mut world = World::new().await;
    let mut events = demo::events();
    for event in events.iter_mut().step_by(3) {
        event.app = "kiosk".into();
    }
    world.append(&events, 2000).await;
    world.refresh().await;
    epochs::withdraw(&world.servers).await.unwrap();
    let ask = async || {
        let mut answers = Vec::new();
        for path in
            ["/v1/features?by=sessions&order=least", "/v1/usage?interval=hour", "/v1/usage?interval=month"]
        {
            for filter in ["", "&app=kiosk", "&category=browse", "&name=home"] {
                let (from, to) = ("2024-02-28T10:00:00Z", "2024-03-02T09:30:00.000001Z");
                let mut answer = world.get(&format!("{path}{filter}&from={from}&to={to}")).await;
                answer.as_object_mut().unwrap().remove("as_of");
                answers.push(answer);
            }
        }
        answers
    };
    let sequences = ask().await;
    let first = |answer: &Value, list: &str| answer[list].get(0).cloned().unwrap_or_default();
    assert!(first(&sequences[0], "features").is_object() && first(&sequences[4], "series").is_object());
    usage::refresh(&world.servers).await.unwrap();
    world.tables.query("TRUNCATE TABLE sequences").execute().await.unwrap();
    assert_eq!(ask().await, sequences);
}
