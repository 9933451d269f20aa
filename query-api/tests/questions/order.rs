//! Where sessions begin and end, what comes back, what follows step by step.

use query_api::values::Time;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Sent, World};

/// An event of a session, by the letter of its feature.
fn event(session: u128, time: &str, letter: char) -> Sent {
    Sent {
        event_id: Uuid::new_v4(),
        session_id: Uuid::from_u128(session),
        app: if letter.is_uppercase() { "app" } else { "web" }.into(),
        category: "c".into(),
        name: letter.to_string(),
        data: "{}".into(),
        time: Time::parse(time).unwrap().micros(),
    }
}

async fn world(events: &[Sent]) -> World {
    let mut world = World::new().await;
    world.append(events, events.len()).await;
    world.refresh().await;
    world
}

fn feature(letter: char) -> Value {
    json!({"category": "c", "name": letter.to_string()})
}

#[tokio::test(flavor = "multi_thread")]
async fn no_filter_moves_the_beginning_or_the_end_of_a_session() {
    let world = world(&[
        // Begins before the range, ends after it.
        event(1, "1983-05-02", 'a'),
        event(1, "1983-05-08T23:59:59.999999Z", 'b'),
        event(1, "1983-05-12", 'a'),
        // Lies in the range.
        event(2, "1983-05-08", 'a'),
        event(2, "1983-05-08", 'B'),
        event(2, "1983-05-10", 'b'),
        event(2, "1983-05-11", 'a'),
    ])
    .await;
    let ends = async |which: &str, query: &str| -> Vec<(String, u64)> {
        let answer = world.get(&format!("/v1/order/{which}?{query}")).await;
        let end = |end: &Value| (end["name"].as_str().unwrap().to_owned(), end["sessions"].as_u64().unwrap());
        answer[which].as_array().unwrap().iter().map(end).collect()
    };
    let range = "from=1983-05-08&to=1983-05-12";
    for which in ["entries", "exits"] {
        assert_eq!(ends(which, "").await, [("a".into(), 2)], "{which}");
        assert_eq!(ends(which, range).await, [("a".into(), 1)], "{which}: session 1 is none of this range");
        for none in ["name=b", "app=app", &format!("{range}&name=b")] {
            assert_eq!(ends(which, none).await, [], "{which}, {none}: that is no end of a session");
        }
    }
    // Places are those of the whole session: its second event lies in the range, its first one doesn't.
    assert_eq!(ends("entries", &format!("{range}&step=2")).await, [("B".into(), 1), ("b".into(), 1)]);
    assert_eq!(ends("exits", &format!("{range}&step=2")).await, [("b".into(), 2)]);

    let cohorts = async |query: &str| {
        let answer = world.get(&format!("/v1/retention?interval=day&periods=3&{query}")).await;
        answer["cohorts"].clone()
    };
    let may = |day: u8| format!("1983-05-{day:02}T00:00:00.000000Z");
    let second = |returned: Value| json!([{"start": may(8), "sessions": 1, "returned": returned}]);
    assert_eq!(cohorts(range).await, second(json!([1, 0, 1, 1])));
    // The uses are those that pass; the session began when it began.
    assert_eq!(cohorts(&format!("{range}&name=b")).await, second(json!([0, 0, 1, 0])));
    assert_eq!(cohorts(&format!("{range}&app=app")).await, second(json!([1, 0, 0, 0])));
    let both = json!([
        {"start": may(2), "sessions": 1, "returned": [0, 0, 0, 0]},
        {"start": may(8), "sessions": 1, "returned": [0, 0, 1, 0]},
    ]);
    assert_eq!(cohorts("name=b").await, both);

    let whole = async |range: &str| {
        let mut body = json!({"whole_session": true});
        if range == "ranged" {
            (body["from"], body["to"]) = (json!("1983-05-08"), json!("1983-05-12"));
        }
        let answer = world.post("/v1/order/paths", &body).await;
        answer["paths"].as_array().unwrap().iter().map(|path| path["steps"].clone()).collect::<Vec<_>>()
    };
    let (cut, uncut) = (['a', 'b', 'a'].map(feature), ['a', 'B', 'b', 'a'].map(feature));
    assert_eq!(whole("ranged").await, [json!(uncut)]);
    assert_eq!(whole("").await, [json!(uncut), json!(cut)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_session_says_how_long_the_whole_is() {
    let world =
        world(&(1..=9).map(|day| event(1, &format!("2025-01-{day:02}"), 'a')).collect::<Vec<_>>()).await;
    let path = format!("/v1/sessions/{}?limit=4", Uuid::from_u128(1));
    let first = world.get(&path).await;
    let next = world.get(&format!("{path}&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    let whole = json!({"events": 9, "first_seen": "2025-01-01T00:00:00.000000Z",
        "last_seen": "2025-01-09T00:00:00.000000Z"});
    for page in [first, next] {
        assert_eq!((page["events"].as_array().unwrap().len(), &page["session"]), (4, &whole));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_to_come_is_not_nothing() {
    // The log ends in the first second of 2026-01-01, a Thursday.
    let world =
        world(&[event(1, "2025-12-30", 'a'), event(1, "2025-12-31", 'a'), event(2, "2025-12-22", 'a')]).await;
    let returned = async |query: &str| -> Vec<Value> {
        let answer = world.get(&format!("/v1/retention?{query}")).await;
        let cohorts = answer["cohorts"].as_array().unwrap();
        cohorts.iter().map(|cohort| cohort["returned"].clone()).collect()
    };
    // The day that has just begun counts so far.
    let days = [
        json!([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, null]),
        json!([1, 1, 0, null, null, null, null, null, null, null, null, null]),
    ];
    assert_eq!(returned("interval=day&periods=11").await, days);
    assert_eq!(returned("interval=week&periods=2").await, [json!([1, 0, null]), json!([1, null, null])]);
    // Nobody has looked at what comes after the range.
    assert_eq!(
        returned("interval=day&periods=3&to=2025-12-31").await,
        [json!([1, 0, 0, 0]), json!([1, null, null, null])]
    );
}
