//! The shared examples, sent by this client to a running pipeline, meet the fate they promise.
//!
//! Needs EYE_URL, EYE_KEY and EYE_QUERY_URL, as `target/debug/eye with -- COMMAND` sets them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use the_eye_client::{Client, Options};
use tokio::time::Instant;
use uuid::Uuid;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run this by `target/debug/eye with -- COMMAND`, which starts a pipeline")
    })
}

fn examples(kind: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/event-types"), &mut found);
    found.retain(|path| path.parent().unwrap().ends_with(format!("examples/{kind}")));
    assert!(!found.is_empty());
    found
}

/// The verdict on an event: (verdict, codes of the reasons).
async fn fate(http: &reqwest::Client, id: Uuid) -> (String, Vec<String>) {
    let url = format!("{}/v1/events/{id}", variable("EYE_QUERY_URL"));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let response = http.get(&url).send().await.unwrap();
        if response.status() == 200 {
            let body: Value = response.json().await.unwrap();
            let fate = body.get("event").unwrap_or(&body);
            let codes = fate["reasons"].as_array().into_iter().flatten();
            let codes = codes.map(|reason| reason["code"].as_str().unwrap().to_owned()).collect();
            return (fate["verdict"].as_str().unwrap().to_owned(), codes);
        }
        assert_eq!(response.status(), 404);
        assert!(Instant::now() < deadline, "no verdict on {id} after 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_examples_meet_the_fate_they_promise() {
    let client = Client::start(Options::new(variable("EYE_URL"), variable("EYE_KEY"))).unwrap();
    let session = Uuid::new_v4();
    let mut sent = Vec::new();
    for path in examples("valid") {
        let event: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        sent.push((path, track(&client, session, &event), "accepted", Vec::new()));
    }
    for path in examples("invalid") {
        let example: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let reasons = example["reasons"].as_array().unwrap();
        let codes: Vec<_> =
            reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect();
        // What is wrong with an envelope can't be sent through a client that writes the envelope itself.
        if example["event"].is_null() || codes.iter().any(|code| code != "data_invalid") {
            continue;
        }
        sent.push((path, track(&client, session, &example["event"]), "rejected", codes));
    }
    client.close().await;
    let stats = client.stats();
    assert_eq!((stats.delivered, stats.waiting, stats.lost), (sent.len() as u64, 0, 0), "{stats:?}");

    let http = reqwest::Client::new();
    for (path, id, verdict, mut codes) in sent {
        let (found, mut reasons) = fate(&http, id).await;
        codes.sort();
        reasons.sort();
        assert_eq!((found.as_str(), reasons), (verdict, codes), "{}", path.display());
    }
}

fn track(client: &Client, session: Uuid, event: &Value) -> Uuid {
    let (category, name) = (event["category"].as_str().unwrap(), event["name"].as_str().unwrap());
    client.track(session, category, name, &event["data"]).expect("accepted")
}

#[tokio::test]
async fn a_wrong_key_is_held_and_counted() {
    let mut options = Options::new(variable("EYE_URL"), "no such key");
    options.close_timeout = Duration::from_millis(500);
    let client = Client::start(options).unwrap();
    client.track(Uuid::new_v4(), "page interaction", "pageview", &json!({"host": "h", "path": "/"}));
    client.close().await;
    assert_eq!((client.stats().delivered, client.stats().lost), (0, 1));
}
