//! The three original events, exactly as they were posed, and what goes wrong with events.

use std::time::Duration;

use harness::{Pipeline, eventually};
use serde_json::Value;

const SESSION: &str = "e2085be5-9137-4e4e-80b5-f1ffddc25423";

/// All three carry the same time, without a zone: the order of arrival decides.
const EVENTS: [&str; 3] = [
    r#"{"session_id": "e2085be5-9137-4e4e-80b5-f1ffddc25423", "category": "page interaction", "name": "pageview",
 "data": {"host": "www.example.com", "path": "/"}, "timestamp": "2021-01-01 09:15:27.243860"}"#,
    r#"{"session_id": "e2085be5-9137-4e4e-80b5-f1ffddc25423", "category": "page interaction", "name": "cta click",
 "data": {"host": "www.example.com", "path": "/", "element": "chat bubble"}, "timestamp": "2021-01-01 09:15:27.243860"}"#,
    r#"{"session_id": "e2085be5-9137-4e4e-80b5-f1ffddc25423", "category": "form interaction", "name": "submit",
 "data": {"host": "www.example.com", "path": "/", "form": {"first_name": "John", "last_name": "Doe"}}, "timestamp": "2021-01-01 09:15:27.243860"}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn the_original_events_are_in_their_session_in_the_order_of_arrival() {
    let pipeline = Pipeline::start().await;
    for event in EVENTS {
        let (status, answer) = pipeline.post("application/json", event).await;
        assert_eq!(status, 202, "{answer}");
        assert!(answer["receipts"][0]["offset"].is_u64(), "{answer}");
    }
    let timeline = eventually(Duration::from_secs(20), async || {
        let (status, timeline) = pipeline.ask(&format!("/v1/sessions/{SESSION}")).await;
        assert!([200, 404].contains(&status), "{timeline}");
        (timeline["events"].as_array().is_some_and(|events| events.len() == 3)).then_some(timeline)
    })
    .await;
    let names: Vec<&Value> =
        timeline["events"].as_array().unwrap().iter().map(|event| &event["name"]).collect();
    assert_eq!(names, ["pageview", "cta click", "submit"]);
    assert_eq!(timeline["events"][0]["timestamp"], "2021-01-01T09:15:27.243860Z");
    assert_eq!(timeline["events"][2]["data"]["form"]["first_name"], "John");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_timestamp_and_an_unexpected_payload_are_rejected_with_their_reasons() {
    let pipeline = Pipeline::start().await;
    let future = EVENTS[0].replace("2021-01-01", "2199-01-01");
    let payload = EVENTS[1].replace(r#""chat bubble""#, "42");
    for event in [&future, &payload] {
        let (status, answer) = pipeline.post("application/json", event).await;
        assert_eq!(status, 202, "{answer}");
    }
    pipeline.settled().await;
    let rejections = pipeline.get("/v1/rejections").await;
    let mut reasons: Vec<(String, String)> = rejections["rejections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejection| {
            let reason = &rejection["reasons"][0];
            let text = |key: &str| reason[key].as_str().unwrap_or_default().to_string();
            (text("code"), text("pointer"))
        })
        .collect();
    reasons.sort();
    assert_eq!(reasons[0], ("data_invalid".into(), "/data/element".into()), "{rejections}");
    assert_eq!(reasons[1].0, "future_timestamp", "{rejections}");
    assert_eq!(reasons.len(), 2);
}
