//! Small random logs, growing: after each part every question gives the answer of the plain implementation.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::demo::Random;
use crate::model::{self, Feature, Filter};
use crate::order;
use crate::world::{Sent, World};

const DAY: i64 = 86_400_000_000;
type Bucket = fn(i64) -> i64;
const BUCKETS: [(&str, Bucket); 4] = [
    ("hour", |time| time.div_euclid(DAY / 24) * (DAY / 24)),
    ("day", |time| time.div_euclid(DAY) * DAY),
    // 1970-01-05 was a Monday.
    ("week", |time| (time - 4 * DAY).div_euclid(7 * DAY) * 7 * DAY + 4 * DAY),
    ("month", |time| {
        let date = time::OffsetDateTime::from_unix_timestamp(time.div_euclid(1_000_000)).unwrap().date();
        let start = date.replace_day(1).unwrap().midnight().assume_utc();
        start.unix_timestamp() * 1_000_000
    }),
];
/// 2025-12-29, a Monday.
const START: i64 = 1_766_966_400_000_000;

/// Names that SQL, JSON, URLs or a careless join of category and name could trip over.
fn catalogue() -> Vec<Feature> {
    [
        ("a", "bc"),
        ("ab", "c"),
        ("page/view", "it's \"quoted\" \\ back\tslash"),
        ("Ünï/😀", "{from:UInt8}"),
        ("a", "b"),
        ("%", "?&=+"),
    ]
    .map(|(category, name)| (category.into(), name.into()))
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_as_the_model_answers_it() {
    for seed in 1..=3 {
        let mut random = Random(seed);
        let mut world = World::new().await;
        // Each feature has a number from here on.
        let mut log: Vec<Sent> = catalogue().into_iter().map(|feature| event(&mut random, feature)).collect();
        world.append(&log, 10).await;
        world.refresh().await;
        for round in 0..4 {
            let part = part(&mut random, &log);
            world.append(&part, 1 + random.below(40) as usize).await;
            // Questions add what the passes have left.
            world.refresh_partly(&mut random).await;
            log.extend(part);
            for question in 0..4 {
                check(&world, &log, &mut random, &format!("seed {seed}, round {round}, question {question}"))
                    .await;
            }
        }
    }
}

/// Few sessions, few times: many ties, repeats and late events; sessions of months; some ids sent again.
fn part(random: &mut Random, log: &[Sent]) -> Vec<Sent> {
    let catalogue = catalogue();
    let mut part: Vec<Sent> = Vec::new();
    for _ in 0..random.below(60) {
        if random.below(10) == 0
            && let Some(earlier) = log.get(random.below(1 + log.len() as u64) as usize)
        {
            part.push(earlier.clone());
            continue;
        }
        let feature = catalogue[random.below(catalogue.len() as u64) as usize].clone();
        part.push(event(random, feature));
    }
    part
}

fn event(random: &mut Random, (category, name): Feature) -> Sent {
    let time = match random.below(3) {
        0 => START + random.below(4) as i64 * 1_000_000,
        1 => START + random.below(3600) as i64 * 1_000_000 + random.below(3) as i64,
        _ => START + random.below(40) as i64 * DAY + random.below(5) as i64 * 999_999,
    };
    Sent {
        event_id: Uuid::from_u128(u128::from(random.next()) << 64 | u128::from(random.next())),
        session_id: Uuid::from_u128(u128::from(random.below(8)) * 0x1234_5678_9abc_def0_1234_5678_9abc_def1),
        app: ["web", "app"][random.below(2) as usize].into(),
        category,
        name,
        data: "{}".into(),
        time,
    }
}

async fn check(world: &World, log: &[Sent], random: &mut Random, what: &str) {
    let catalogue = catalogue();
    let any = |random: &mut Random| catalogue[random.below(catalogue.len() as u64) as usize].clone();
    let maybe = |random: &mut Random, chance: u64| (random.below(chance) == 0).then(|| any(random));
    // Whole days are answered from other tables than the rest.
    let (since, until) = match random.below(2) {
        0 => (0, 0),
        _ => (random.below(3) as i64 * 1_000_000, 1_000_001),
    };
    let first = random.below(10) as i64 * DAY * i64::from(since == 0);
    let filter = Filter {
        from: (random.below(3) == 0).then(|| START + first + since),
        to: (random.below(3) == 0).then(|| START + first + random.below(20) as i64 * DAY + until),
        app: (random.below(4) == 0).then(|| "web".into()),
        category: maybe(random, 6).map(|feature| feature.0),
        name: maybe(random, 8).map(|feature| feature.1),
    };
    let whole = model::whole_sessions(log, &filter);
    let sessions = model::left(&whole);
    let time = |micros: i64| query_api::values::Time::from_micros(micros).to_string();
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut body = json!({});
    let values = [
        ("from", filter.from.map(time)),
        ("to", filter.to.map(time)),
        ("app", filter.app.clone()),
        ("category", filter.category.clone()),
        ("name", filter.name.clone()),
    ];
    for (key, value) in values {
        if let Some(value) = value {
            query.append_pair(key, &value);
            body[key] = json!(value);
        }
    }
    let query = query.finish();
    let get = async |path: &str, key: &str| {
        let mut answer = world.get(&format!("{path}&{query}")).await;
        assert_eq!(answer["as_of"]["positions"], world.whole_log(), "{path}");
        answer[key].take()
    };
    let post = async |path: &str, key: &str, more: Value| {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut answer = world.post(path, &body).await;
        assert_eq!(answer["as_of"]["positions"], world.whole_log(), "{path}");
        (answer[key].take(), body)
    };
    let what = format!("{what}, {query}");

    let (least, by_sessions) = (random.below(2) == 0, random.below(2) == 0);
    let order = if least { "least" } else { "most" };
    let by = if by_sessions { "sessions" } else { "events" };
    let found = world.get(&format!("/v1/features?order={order}&by={by}&{query}")).await;
    assert_eq!(found["features"], model::features(&sessions, least, by_sessions), "features, {what}");
    assert_eq!(found["total"], model::total(&sessions), "total, {what}");

    for (interval, start_of) in BUCKETS {
        let found = get(&format!("/v1/usage?interval={interval}"), "series").await;
        let used: Vec<&Value> =
            found.as_array().unwrap().iter().filter(|bucket| bucket["events"] != 0).collect();
        assert_eq!(json!(used), model::usage(&sessions, start_of), "by {interval}, {what}");
    }
    let found = get("/v1/apps?", "apps").await;
    assert_eq!(found, model::apps(log, &filter), "apps, {what}");
    let found = get("/v1/order/transitions?limit=10000", "transitions").await;
    assert_eq!(found, model::transitions(&sessions), "transitions, {what}");
    let found = get("/v1/order/precedence?limit=10000", "pairs").await;
    assert_eq!(found, model::precedence(&sessions), "precedence, {what}");
    let step = 1 + random.below(3) as usize;
    let found = get(&format!("/v1/order/entries?step={step}"), "entries").await;
    assert_eq!(found, model::ends(&whole, step, false), "entries, {what}");
    let found = get(&format!("/v1/order/exits?step={step}"), "exits").await;
    assert_eq!(found, model::ends(&whole, step, true), "exits, {what}");
    for (interval, days) in [("day", 1), ("week", 7)] {
        let found = world.get(&format!("/v1/retention?interval={interval}&periods=9&{query}")).await;
        let now = query_api::values::Time::parse(found["as_of"]["time"].as_str().unwrap()).unwrap().micros();
        let expected = model::retention(&whole, &filter, now, days, 9);
        assert_eq!(found["cohorts"], expected, "retention by {interval}, {what}");
    }

    // A session that the range cuts is no whole one.
    let in_range: Vec<model::Whole> = whole
        .into_iter()
        .filter(|session| session.iter().all(|(_, time, _)| filter.includes(*time)))
        .collect();
    let in_range = model::left(&in_range);
    let (start, through, end) = (maybe(random, 4), maybe(random, 4), maybe(random, 4));
    let length = 1 + random.below(12) as usize;
    let limit = 1 + random.below(30) as usize;
    for length in [None, Some(length), Some(2), Some(4), Some(5), Some(10)] {
        let mut more = json!({"limit": limit});
        match length {
            Some(length) => more["length"] = json!(length),
            None => more["whole_session"] = json!(true),
        }
        for (key, feature) in [("start", &start), ("through", &through), ("end", &end)] {
            if let Some(feature) = feature {
                more[key] = model::feature(feature);
            }
        }
        let (found, body) = post("/v1/order/paths", "paths", more).await;
        let sessions = if length.is_some() { &sessions } else { &in_range };
        let expected = model::paths(sessions, length, start.as_ref(), through.as_ref(), end.as_ref(), limit);
        assert_eq!(found, expected, "paths, {what}, {body}");
    }

    for length in [2, 3, 2 + random.below(11) as usize] {
        let (anchor, backwards, top) = (any(random), random.below(2) == 0, 1 + random.below(7) as usize);
        let anchor_key = if backwards { "end" } else { "start" };
        let mut body = body.clone();
        let more = json!({anchor_key: model::feature(&anchor), "length": length, "top": top});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut found = world.post("/v1/order/flow", &body).await;
        found.as_object_mut().unwrap().remove("as_of");
        let expected = model::flow(&sessions, &anchor, backwards, length, top);
        assert_eq!(found, expected, "flow, {what}, {body}");
        order::adds_up(&found);
    }

    for steps in [1 + random.below(4), 1 + random.below(3), 20] {
        let steps: Vec<Feature> = (0..steps).map(|_| any(random)).collect();
        let exclude: Vec<Feature> =
            maybe(random, 2).into_iter().filter(|excluded| !steps.contains(excluded)).collect();
        let window = match random.below(4) {
            0 => None,
            1 => Some((0, "0s")),
            2 => Some((2_000_000, "2s")),
            _ => Some((DAY, "1d")),
        };
        let (first, shortest) = (random.below(2) == 0, random.below(3) == 0);
        let mut more = json!({
            "shortest": shortest,
            "steps": steps.iter().map(model::feature).collect::<Vec<_>>(),
            "exclude": exclude.iter().map(model::feature).collect::<Vec<_>>(),
            "start": if first { "first" } else { "any" },
        });
        if let Some((_, window)) = window {
            more["window"] = json!(window);
        }
        let (found, body) = post("/v1/order/funnel", "steps", more).await;
        let window = window.map(|(micros, _)| micros);
        let expected = funnel(&sessions, &steps, window, first, &exclude, shortest);
        assert_eq!(found, expected, "funnel, {what}, {body}");
    }
}

fn funnel(
    sessions: &[model::Session],
    steps: &[Feature],
    window: Option<i64>,
    first: bool,
    exclude: &[Feature],
    shortest: bool,
) -> Value {
    let mut expected = model::funnel(sessions, steps, window, first, exclude);
    for step in expected.as_array_mut().unwrap().iter_mut().filter(|_| !shortest) {
        step["median_shortest_ms"] = Value::Null;
    }
    expected
}

/// The text of a funnel's statement depends on all that is varied here.
#[tokio::test(flavor = "multi_thread")]
async fn a_funnel_of_every_form_as_the_model_answers_it() {
    let mut random = Random(4);
    let mut world = World::new().await;
    let log: Vec<Sent> = (0..4).flat_map(|_| part(&mut random, &[])).collect();
    world.append(&log, 100).await;
    world.refresh().await;
    let sessions = model::left(&model::whole_sessions(&log, &Filter::default()));
    let catalogue = catalogue();
    let (used, excluded) = catalogue.split_at(3);
    for form in 0..16 {
        let [first, shortest, excludes, limited] = [1, 2, 4, 8].map(|bit| form & bit != 0);
        let exclude = if excludes { &excluded[..1] } else { &[] };
        for length in [1, 2, 3, 4, 20] {
            // Steps that repeat the one before are among them.
            let steps: Vec<Feature> =
                (0..length).map(|_| used[random.below(used.len() as u64) as usize].clone()).collect();
            let mut body = json!({
                "shortest": shortest,
                "steps": steps.iter().map(model::feature).collect::<Vec<_>>(),
                "exclude": exclude.iter().map(model::feature).collect::<Vec<_>>(),
                "start": if first { "first" } else { "any" },
            });
            if limited {
                body["window"] = json!("1d");
            }
            let found = world.post("/v1/order/funnel", &body).await["steps"].clone();
            let window = limited.then_some(DAY);
            assert_eq!(found, funnel(&sessions, &steps, window, first, exclude, shortest), "{body}");
        }
    }
}
