//! All of `answers-ecom.json`, asked through the API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::demo;
use crate::order;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn in_order_of_arrival() {
    let mut world = World::new().await;
    world.append(&demo::events(), 500).await;
    world.refresh().await;
    everything(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed_up_late_and_repeated() {
    let mut world = World::new().await;
    let events = demo::mixed_up();
    let (singly, rest) = events.split_at(1500);
    world.append(singly, 1).await;
    world.refresh().await;
    for part in rest.chunks(5000) {
        world.append(part, 500).await;
        world.refresh().await;
    }
    let audit = world.get("/v1/audit").await;
    assert_eq!(audit["verdicts"]["accepted"], 31106);
    assert_eq!(audit["verdicts"]["duplicate"].as_u64().unwrap() as usize, events.len() - 31106);
    assert_eq!(audit["adds_up"], true, "{audit}");
    everything(&world).await;
}

async fn everything(world: &World) {
    let answers = demo::answers();
    let catalogue = Catalogue::of(&answers);
    usage(world, &answers, &catalogue).await;
    over_time(world, &answers, &catalogue).await;
    transitions(world, &answers).await;
    ends(world, &answers).await;
    paths(world, &answers).await;
    flow(world, &catalogue).await;
    funnels(world, &answers, &catalogue).await;
    retention(world, &answers).await;
    timelines(world, &answers).await;
}

/// The category of each name: here a name occurs in one category only.
struct Catalogue(BTreeMap<String, String>);

impl Catalogue {
    fn of(answers: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self(
            list(&answers["usage"])
                .iter()
                .map(|used| (text(&used["name"]), text(&used["category"])))
                .collect(),
        )
    }

    fn feature(&self, name: &str) -> Value {
        json!({"category": self.0[name], "name": name})
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("a list, not {value}"))
}

/// `2024-01-04 11:53:00.000000` as the API writes it.
fn time(text: &Value) -> Value {
    json!(text.as_str().unwrap().replace(' ', "T") + "Z")
}

fn used(answer: &[Value]) -> Vec<Value> {
    answer
        .iter()
        .map(|used| {
            json!({"category": used["category"], "name": used["name"], "events": used["count"],
                "sessions": used["sessions"], "first_seen": time(&used["first_seen"]),
                "last_seen": time(&used["last_seen"])})
        })
        .collect()
}

async fn usage(world: &World, answers: &Value, catalogue: &Catalogue) {
    let expected = used(list(&answers["usage"]));
    assert_eq!(*list(&world.get("/v1/features?order=most&by=events").await["features"]), expected);
    for (query, key, sign) in [
        ("order=least&by=events", "events", 1),
        ("order=most&by=sessions", "sessions", -1),
        ("order=least&by=sessions", "sessions", 1),
    ] {
        let mut sorted = expected.clone();
        sorted.sort_by_key(|used| {
            (sign * used[key].as_i64().unwrap(), used["category"].to_string(), used["name"].to_string())
        });
        assert_eq!(*list(&world.get(&format!("/v1/features?{query}")).await["features"]), sorted, "{query}");
    }
    let range = "from=2024-04-01&to=2024-05-01";
    let in_range = &answers["usage_in_range"];
    let answer = world.get(&format!("/v1/features?{range}")).await;
    assert_eq!(*list(&answer["features"]), used(list(&in_range["usage"])));
    let unused = world.get(&format!("/v1/features/unused?{range}")).await;
    let seen: Vec<Value> = list(&unused["features"])
        .iter()
        .filter(|unused| !unused["last_seen"].is_null())
        .map(|unused| unused["name"].clone())
        .collect();
    assert_eq!(json!(seen), in_range["seen_overall_but_not_in_range"]);
    // Declared, and in no event at all.
    assert!(list(&unused["features"]).iter().any(|unused| unused["name"] == "gift_wrap_add"));
    let names: Vec<&str> = catalogue.0.keys().map(String::as_str).collect();
    let unused = world.get("/v1/features/unused").await;
    assert!(
        list(&unused["features"]).iter().all(|unused| !names.contains(&unused["name"].as_str().unwrap()))
    );
    let whole = world.get(&format!("/v1/usage?interval=month&{range}")).await;
    assert_eq!(
        whole["series"],
        json!([{"start": "2024-04-01T00:00:00.000000Z",
        "events": in_range["events"], "sessions": in_range["sessions"]}])
    );
}

async fn over_time(world: &World, answers: &Value, catalogue: &Catalogue) {
    let days = |series: &Value| -> Vec<Value> {
        let some = |bucket: &&Value| bucket["events"] != 0;
        let day = |bucket: &Value| bucket["start"].as_str().unwrap()[..10].to_owned();
        list(series)
            .iter()
            .filter(some)
            .map(|bucket| json!([day(bucket), bucket["events"], bucket["sessions"]]))
            .collect()
    };
    let totals: Vec<Value> =
        list(&answers["daily_totals"]).iter().map(|total| json!([total[0], total[1], total[2]])).collect();
    let series = world.get("/v1/usage?interval=day").await["series"].clone();
    assert_eq!(days(&series), totals);
    // Every day from the first to the last is there, also the empty ones.
    assert_eq!(list(&series).len(), 178);
    for (name, category) in &catalogue.0 {
        let expected: Vec<Value> = list(&answers["daily_usage"])
            .iter()
            .filter(|row| row[1] == *name)
            .map(|row| json!([row[0], row[2], row[3]]))
            .collect();
        let answer = world.get(&format!("/v1/usage?category={category}&name={name}")).await;
        assert_eq!(days(&answer["series"]), expected, "{name}");
    }
}

async fn transitions(world: &World, answers: &Value) {
    let found = world.get("/v1/order/transitions?limit=10000").await;
    let found: BTreeMap<(String, String), (u64, u64, f64)> = list(&found["transitions"])
        .iter()
        .map(|t| {
            let name = |key: &str| t[key]["name"].as_str().unwrap().to_owned();
            let number = |key: &str| t[key].as_u64().unwrap();
            (
                (name("from"), name("to")),
                (number("count"), number("sessions"), t["median_gap_ms"].as_f64().unwrap()),
            )
        })
        .collect();
    let expected: BTreeMap<(String, String), (u64, u64, f64)> = list(&answers["transitions"])
        .iter()
        .map(|t| {
            let name = |key: &str| t[key].as_str().unwrap().to_owned();
            let number = |key: &str| t[key].as_u64().unwrap();
            let median = t["median_gap_s"].as_f64().unwrap() * 1000.0;
            ((name("from"), name("to")), (number("count"), number("sessions"), median))
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found.values().map(|t| t.0).sum::<u64>(), answers["transitions_total"].as_u64().unwrap());
}

async fn ends(world: &World, answers: &Value) {
    let named = |ends: &Value| -> Vec<Value> {
        let mut named: Vec<Value> =
            list(ends).iter().map(|end| json!([end["name"], end["sessions"]])).collect();
        named.sort_by_key(|end| (-end[1].as_i64().unwrap(), end[0].to_string()));
        named
    };
    assert_eq!(json!(named(&world.get("/v1/order/entries").await["entries"])), answers["first_feature"]);
    assert_eq!(json!(named(&world.get("/v1/order/exits").await["exits"])), answers["last_feature"]);
    for (step, expected) in answers["sessions_with_feature_at_step"].as_object().unwrap() {
        let entries = world.get(&format!("/v1/order/entries?step={step}")).await;
        assert_eq!(json!(named(&entries["entries"])), *expected, "step {step}");
    }
}

fn names(path: &Value) -> Vec<String> {
    list(&path["steps"]).iter().map(|step| step["name"].as_str().unwrap().to_owned()).collect()
}

async fn paths(world: &World, answers: &Value) {
    for length in ["3", "5"] {
        let expected: BTreeMap<Vec<String>, (u64, u64)> = list(&answers["top_paths"][length])
            .iter()
            .map(|path| {
                let steps =
                    list(&path["path"]).iter().map(|step| step.as_str().unwrap().to_owned()).collect();
                (steps, (path["count"].as_u64().unwrap(), path["sessions"].as_u64().unwrap()))
            })
            .collect();
        let body = json!({"length": length.parse::<u8>().unwrap(), "limit": 10000});
        let found = world.post("/v1/order/paths", &body).await;
        let found: Vec<(Vec<String>, (u64, u64))> = list(&found["paths"])
            .iter()
            .map(|path| (names(path), (path["count"].as_u64().unwrap(), path["sessions"].as_u64().unwrap())))
            .collect();
        // Those tied at place 20 are a group of which any will do.
        let tied = &answers["top_paths_tied_at_20"][length];
        let last = tied[0].as_u64().unwrap();
        assert_eq!(found[19].1.0, last);
        assert_eq!(found.iter().filter(|path| path.1.0 == last).count() as u64, tied[1].as_u64().unwrap());
        let found: BTreeMap<_, _> = found.into_iter().collect();
        for (steps, counts) in &expected {
            assert_eq!(found.get(steps), Some(counts), "{steps:?}");
        }
    }
    let total =
        |paths: &Value| list(&paths["paths"]).iter().map(|path| path["count"].as_u64().unwrap()).sum::<u64>();
    let all = world.post("/v1/order/paths", &json!({"length": 3, "limit": 10000})).await;
    assert_eq!(json!([total(&all), list(&all["paths"]).len()]), answers["paths_total"]["3"]);

    let whole = world.post("/v1/order/paths", &json!({"whole_session": true, "limit": 10000})).await;
    assert_eq!(json!(list(&whole["paths"]).len()), answers["distinct_whole_session_paths"]);
    let whole: BTreeMap<Vec<String>, u64> =
        list(&whole["paths"]).iter().map(|path| (names(path), path["sessions"].as_u64().unwrap())).collect();
    for path in list(&answers["top_whole_session_paths"]) {
        let steps: Vec<String> =
            list(&path["path"]).iter().map(|step| step.as_str().unwrap().to_owned()).collect();
        assert_eq!(whole[&steps], path["sessions"].as_u64().unwrap(), "{steps:?}");
    }
}

/// From every view of a product four steps on: there are more paths than a list of them may hold.
async fn flow(world: &World, catalogue: &Catalogue) {
    let body = json!({"start": catalogue.feature("product_view"), "length": 5});
    let flow = world.post("/v1/order/flow", &body).await;
    order::adds_up(&flow);
    let last = &flow["columns"][4];
    let count = |name: &str| {
        let named = list(&last["features"]).iter().find(|used| used["name"] == name);
        named.map(|used| used["count"].clone())
    };
    assert_eq!(count("product_view"), Some(json!(892)));
    assert_eq!(count("add_to_cart"), Some(json!(231)));
    assert_eq!(last["ended"], 656);
}

async fn funnels(world: &World, answers: &Value, catalogue: &Catalogue) {
    for funnel in list(&answers["funnels"]) {
        let steps: Vec<Value> =
            list(&funnel["steps"]).iter().map(|step| catalogue.feature(step.as_str().unwrap())).collect();
        for (window, expected) in funnel["windows"].as_object().unwrap() {
            for (start, shortest) in [("any", true), ("any", false), ("first", true), ("first", false)] {
                let mut body = json!({"steps": steps, "start": start, "shortest": shortest});
                if window != "none" {
                    body["window"] = json!(window);
                }
                let found = world.post("/v1/order/funnel", &body).await;
                let what = format!("{} within {window} from {start}", funnel["steps"]);
                let expected = &expected[format!("{start}_start")];
                let reached: Vec<&Value> =
                    list(&found["steps"]).iter().map(|step| &step["sessions"]).collect();
                assert_eq!(json!(reached), expected["sessions_reaching_step"], "{what}");
                let last = &found["steps"][steps.len() - 1];
                let medians = match (start, shortest) {
                    ("any", true) => vec![
                        ("median_time_ms", "time_to_convert_earliest_converting_start"),
                        ("median_shortest_ms", "time_to_convert_shortest"),
                    ],
                    ("any", false) => vec![("median_time_ms", "time_to_convert_earliest_converting_start")],
                    // From one start there is one time.
                    (_, true) => {
                        vec![("median_time_ms", "time_to_convert"), ("median_shortest_ms", "time_to_convert")]
                    }
                    (_, false) => vec![("median_time_ms", "time_to_convert")],
                };
                for (ours, theirs) in medians {
                    let median = expected[theirs]["median_s"].as_f64().unwrap() * 1000.0;
                    assert_eq!(last[ours].as_f64(), Some(median), "{ours} of {what}");
                }
            }
        }
    }
}

async fn retention(world: &World, answers: &Value) {
    let found = world.get("/v1/retention?interval=day&periods=30").await;
    let mut all = vec![0; 31];
    let mut by_day = serde_json::Map::new();
    for cohort in list(&found["cohorts"]) {
        let returned: Vec<u64> = list(&cohort["returned"]).iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(cohort["sessions"], returned[0]);
        for (sum, n) in all.iter_mut().zip(&returned) {
            *sum += n;
        }
        let day = cohort["start"].as_str().unwrap()[..10].to_owned();
        by_day.insert(day, json!([returned[0], returned[1], returned[7]]));
    }
    let all: Vec<Value> = all.iter().enumerate().map(|(day, sessions)| json!([day, sessions])).collect();
    assert_eq!(json!(all), answers["retention_all_cohorts"]);
    assert_eq!(Value::Object(by_day), answers["retention_by_cohort_day_d0_d1_d7"]);
}

async fn timelines(world: &World, answers: &Value) {
    for (session, expected) in answers["timelines"].as_object().unwrap() {
        let found = world.get(&format!("/v1/sessions/{session}")).await;
        let found: Vec<Value> = list(&found["events"])
            .iter()
            .map(|event| json!([event["event_id"], event["timestamp"], event["category"], event["name"]]))
            .collect();
        let expected: Vec<Value> = list(expected)
            .iter()
            .map(|event| json!([event[0], time(&event[1]), event[2], event[3]]))
            .collect();
        assert_eq!(found, expected, "{session}");
    }
}
