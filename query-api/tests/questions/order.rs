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

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_says_what_is_not_named_and_where_sessions_end() {
    let letters = |session: u128, letters: &str| -> Vec<Sent> {
        let event = |(n, letter)| event(session, &format!("2025-01-01T00:00:{n:02}Z"), letter);
        letters.chars().enumerate().map(event).collect()
    };
    let world =
        world(&[letters(1, "abcab"), letters(2, "abda"), letters(3, "acd"), letters(4, "xyz")].concat())
            .await;
    let ask = async |more: Value| {
        let mut body = json!({"length": 3, "top": 1});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut answer = world.post("/v1/order/flow", &body).await;
        adds_up(&answer);
        answer.as_object_mut().unwrap().remove("as_of");
        answer
    };
    let node = |letter: char| json!({"kind": "feature", "category": "c", "name": letter.to_string()});
    let (other, ended) = (json!({"kind": "other"}), json!({"kind": "ended"}));
    let column = |letter: char, count: u64, features: u64, others: u64, ended: u64| {
        json!({"features": [{"category": "c", "name": letter.to_string(), "count": count}],
            "other": {"features": features, "count": others}, "ended": ended})
    };
    // From the five a: b, b, b, c, nothing; then c, d, d, nothing.
    let expected = json!({
        "starts": 5,
        "columns": [column('a', 5, 0, 0, 0), column('b', 3, 1, 1, 1), column('d', 2, 1, 1, 1)],
        "links": [
            {"column": 1, "from": node('a'), "to": node('b'), "count": 3},
            {"column": 1, "from": node('a'), "to": other, "count": 1},
            {"column": 1, "from": node('a'), "to": ended, "count": 1},
            {"column": 2, "from": node('b'), "to": node('d'), "count": 1},
            {"column": 2, "from": node('b'), "to": other, "count": 1},
            {"column": 2, "from": node('b'), "to": ended, "count": 1},
            {"column": 2, "from": other, "to": node('d'), "count": 1},
        ],
    });
    assert_eq!(ask(json!({"start": feature('a')})).await, expected);
    // Backwards from the two d: b and c; then a twice.
    let back = ask(json!({"end": feature('d'), "length": 4, "top": 3})).await;
    assert_eq!((&back["starts"], &back["columns"][2]), (&json!(2), &column('a', 2, 0, 0, 0)));
    assert_eq!(back["columns"][3], json!({"features": [], "other": {"features": 0, "count": 0}, "ended": 2}));
    // Nobody used it: nothing, in as many columns.
    let none = ask(json!({"start": {"category": "no", "name": "such"}})).await;
    let empty = json!({"features": [], "other": {"features": 0, "count": 0}, "ended": 0});
    assert_eq!(none, json!({"starts": 0, "columns": [empty, empty, empty], "links": []}));

    let a = feature('a');
    for (body, field) in [
        (json!({}), "start"),
        (json!({"start": a, "end": a}), "start"),
        (json!({"start": a, "length": 1}), "length"),
        (json!({"start": a, "length": 13}), "length"),
        (json!({"start": a, "top": 0}), "top"),
        (json!({"start": a, "top": 51}), "top"),
        (json!({"start": a, "through": a}), "through"),
    ] {
        let problem = world.problem(world.post_request("/v1/order/flow", &body.to_string())).await;
        assert_eq!(problem, (400, "invalid_parameter".into(), field.into()), "{body}");
    }
}

/// Everything in a column comes from the column before, and the links of a node add up to the node.
pub fn adds_up(flow: &Value) {
    let sum =
        |list: &mut dyn Iterator<Item = &Value>| list.map(|one| one["count"].as_u64().unwrap()).sum::<u64>();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let columns = list(&flow["columns"]);
    let there = |column: &Value| {
        sum(&mut list(&column["features"]).iter()) + column["other"]["count"].as_u64().unwrap()
    };
    assert_eq!(there(&columns[0]), flow["starts"].as_u64().unwrap(), "{flow}");
    for (n, pair) in columns.windows(2).enumerate() {
        assert_eq!(there(&pair[1]) + pair[1]["ended"].as_u64().unwrap(), there(&pair[0]), "{n}, {flow}");
    }
    let links = list(&flow["links"]);
    for (n, column) in columns.iter().enumerate() {
        let mut nodes: Vec<(Value, u64)> = list(&column["features"])
            .iter()
            .map(|used| {
                let node = json!({"kind": "feature", "category": used["category"], "name": used["name"]});
                (node, used["count"].as_u64().unwrap())
            })
            .collect();
        nodes.push((json!({"kind": "other"}), column["other"]["count"].as_u64().unwrap()));
        for (node, count) in nodes {
            let into = sum(&mut links.iter().filter(|link| link["column"] == n && link["to"] == node));
            let out = sum(&mut links.iter().filter(|link| link["column"] == n + 1 && link["from"] == node));
            assert!(n == 0 || into == count, "into {node} of {n}: {flow}");
            assert!(n + 1 == columns.len() || out == count, "out of {node} of {n}: {flow}");
        }
        let ended =
            sum(&mut links.iter().filter(|link| link["column"] == n && link["to"]["kind"] == "ended"));
        assert_eq!(column["ended"], ended, "{n}: {flow}");
    }
}
