//! The demo data through the whole pipeline, compared with the reference answers.

use std::collections::BTreeMap;

use harness::{Pipeline, demo, reference};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_data_gives_the_reference_answers() {
    let pipeline = Pipeline::start().await;
    let events = demo::events();
    gives_the_reference_answers(&pipeline, &events).await;
    a_stricter_schema_is_tried_on_the_log(&pipeline, &events).await;
}

/// Sends the demo data and asks.
pub(crate) async fn gives_the_reference_answers(pipeline: &Pipeline, events: &[String]) {
    for batch in events.chunks(500) {
        pipeline.send(batch).await;
    }
    pipeline.settled().await;
    // Answers about use are of the last count, and say so.
    pipeline.includes_everything("/v1/features?limit=1").await;
    let answers = reference::answers();

    let features = pipeline.get("/v1/features?order=most&by=events&limit=1000").await;
    assert_eq!(usage(&features), answers["usage"], "usage");

    let transitions = pipeline.get("/v1/order/transitions?limit=10000").await;
    assert_eq!(
        by_pair(&transitions["transitions"], ours),
        by_pair(&answers["transitions"], theirs),
        "transitions"
    );

    for (session, wanted) in answers["timelines"].as_object().unwrap() {
        let timeline = pipeline.get(&format!("/v1/sessions/{session}")).await;
        let got: Vec<Value> = timeline["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| {
                json!([event["event_id"], plain_time(&event["timestamp"]), event["category"], event["name"]])
            })
            .collect();
        assert_eq!(&Value::from(got), wanted, "timeline of {session}");
    }
}

/// Version 2 of `browse` / `home` takes no mobiles: exactly their events would become invalid.
async fn a_stricter_schema_is_tried_on_the_log(pipeline: &Pipeline, events: &[String]) {
    let mobiles = events.iter().map(|event| serde_json::from_str::<Value>(event).unwrap()).filter(|event| {
        (event["category"] == "browse" && event["name"] == "home") && event["data"]["platform"] == "mobile"
    });
    let mobiles = mobiles.count();
    assert!((1..events.len()).contains(&mobiles));
    let today = include_str!("../../schemas/event-types/browse/home/v1.schema.json");
    let mut schema: Value = serde_json::from_str(today).unwrap();
    schema["x-version"] = 2.into();
    schema["properties"]["platform"]["enum"] = json!(["desktop", "tablet"]);
    let changes = tempfile::tempdir().unwrap();
    let directory = changes.path().to_str().unwrap();
    let nothing = pipeline.settings.projector_verb(&["check-schemas", directory]).await;
    let said = nothing.expect_err("a folder without event types checks nothing").to_string();
    assert!(said.contains("no event type is in this folder"), "{said}");
    std::fs::write(changes.path().join("v1.schema.json"), today).unwrap();
    let same = pipeline.settings.projector_verb(&["check-schemas", directory]).await.unwrap();
    assert!(
        same.contains("31106 events judged twice, 0 duplicates left out: 0 would become invalid, 0 valid"),
        "{same}"
    );

    std::fs::write(changes.path().join("v2.schema.json"), schema.to_string()).unwrap();
    let refused = pipeline.settings.projector_verb(&["check-schemas", directory]).await;
    let said = refused.expect_err("events become invalid, so the exit code is 1").to_string();
    for wanted in [
        "browse / home: version 1 -> 2".to_owned(),
        "stricter: ".to_owned(),
        format!("browse / home of demo: {mobiles} would become invalid"),
        "/data/platform ".to_owned(),
        format!("0 duplicates left out: {mobiles} would become invalid, 0 valid"),
    ] {
        assert!(said.contains(&wanted), "{said} should contain {wanted:?}");
    }
}

/// The API's features in the reference's words.
fn usage(answer: &Value) -> Value {
    let features = answer["features"].as_array().unwrap().iter().map(|feature| {
        json!({
            "category": feature["category"], "name": feature["name"],
            "count": feature["events"], "sessions": feature["sessions"],
            "first_seen": plain_time(&feature["first_seen"]), "last_seen": plain_time(&feature["last_seen"]),
        })
    });
    features.collect::<Vec<_>>().into()
}

type Transition = (u64, u64, f64);

fn by_pair(rows: &Value, read: fn(&Value) -> (String, Transition)) -> BTreeMap<String, Transition> {
    rows.as_array().unwrap().iter().map(read).collect()
}

fn ours(row: &Value) -> (String, Transition) {
    let pair = format!("{} -> {}", row["from"]["name"], row["to"]["name"]);
    let gap = row["median_gap_ms"].as_f64().unwrap() / 1000.0;
    (pair, (row["count"].as_u64().unwrap(), row["sessions"].as_u64().unwrap(), gap))
}

fn theirs(row: &Value) -> (String, Transition) {
    let pair = format!("{} -> {}", row["from"], row["to"]);
    let gap = row["median_gap_s"].as_f64().unwrap();
    (pair, (row["count"].as_u64().unwrap(), row["sessions"].as_u64().unwrap(), gap))
}

/// `2024-01-04T11:53:00.000000Z` as the reference writes it: `2024-01-04 11:53:00.000000`.
fn plain_time(time: &Value) -> String {
    time.as_str().unwrap().replace('T', " ").trim_end_matches('Z').to_string()
}
