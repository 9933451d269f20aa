//! Trace context and request ids lead from part to part, for a person who looks for one event or one request.

use std::time::Duration;

use harness::{Pipeline, eventually};
use serde_json::{Value, json};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn event(event_id: &str, data: Value) -> Value {
    json!({
        "event_id": event_id, "session_id": "4c2a0b5e-2d6f-4d55-9f0e-5b1f3a7c9e01", "category": "page interaction",
        "name": "pageview", "data": data, "timestamp": "2021-01-01T09:15:27Z",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traceparent_goes_from_the_senders_header_to_the_row_and_the_answer() {
    let pipeline = Pipeline::start().await;
    let (good, bad) = ("aa000000-0000-4000-8000-000000000001", "aa000000-0000-4000-8000-000000000002");
    let (other, long) = ("aa000000-0000-4000-8000-000000000003", "aa000000-0000-4000-8000-000000000004");
    let page = json!({"host": "www.example.com", "path": "/"});
    let traced = json!([event(good, page.clone()), event(bad, json!({"host": 7}))]);
    for (header, body) in [
        (Some(TRACEPARENT.to_owned()), traced),
        (None, event(other, page.clone())),
        // A `traceparent` of another form stays out of the log: each record would carry it.
        (Some("0".repeat(4000)), event(long, page)),
    ] {
        let mut request = pipeline.request("application/json").body(body.to_string());
        if let Some(header) = header {
            request = request.header("traceparent", header);
        }
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
    pipeline.settled().await;

    let sql = format!(
        "SELECT toString(event_id), traceparent FROM {}.events ORDER BY event_id",
        pipeline.settings.database
    );
    let rows: Vec<(String, String)> = pipeline.clickhouse().query(&sql).fetch_all().await.unwrap();
    let row = |id: &str, traceparent: &str| (id.to_owned(), traceparent.to_owned());
    assert_eq!(rows, [row(good, TRACEPARENT), row(other, ""), row(long, "")]);

    for (id, verdict, traceparent) in [
        (good, "accepted", json!(TRACEPARENT)),
        (bad, "rejected", json!(TRACEPARENT)),
        (other, "accepted", Value::Null),
        (long, "accepted", Value::Null),
    ] {
        let fate = pipeline.get(&format!("/v1/events/{id}")).await;
        assert_eq!((&fate["verdict"], &fate["traceparent"]), (&json!(verdict), &traceparent), "{fate}");
    }
    let listed = pipeline.get("/v1/events").await;
    let traced = |event: &&Value| event["traceparent"] == TRACEPARENT;
    assert_eq!(listed["events"].as_array().unwrap().iter().filter(traced).count(), 1, "{listed}");
    let rejections = pipeline.get("/v1/rejections").await;
    assert_eq!(rejections["rejections"][0]["traceparent"], TRACEPARENT, "{rejections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_which_the_log_has_too_and_no_log_has_payloads_or_keys() {
    let pipeline = Pipeline::start_with(None, &[("EYE_LOG", "debug"), ("EYE_LOG_FORMAT", "json")]).await;
    let services = [&pipeline.ingest, &pipeline.query_api, &pipeline.projectors[0]];
    let http = reqwest::Client::new();
    for service in services {
        for path in ["/healthz", "/nowhere"] {
            let ask = async |given: Option<&str>| {
                let mut request = http.get(format!("{}{path}", service.url()));
                if let Some(given) = given {
                    request = request.header("x-request-id", given);
                }
                let answer = request.send().await.unwrap();
                answer.headers()["x-request-id"].to_str().unwrap().to_owned()
            };
            let given = format!("given-{}", uuid::Uuid::new_v4());
            assert_eq!(ask(Some(&given)).await, given);
            let (made, other) = (ask(Some("not {sane}")).await, ask(None).await);
            assert!(uuid::Uuid::try_parse(&made).is_ok() && uuid::Uuid::try_parse(&other).is_ok());
            assert_ne!(made, other);
            eventually(Duration::from_secs(60), async || {
                let log = service.log();
                let line = |id: &String| log.lines().any(|line| request_of(line).as_ref() == Some(id));
                [&given, &made, &other].into_iter().all(line).then_some(())
            })
            .await;
        }
    }

    // Events that are taken, rejected and refused, with a right and a wrong key, in the header and in the URL.
    let secret = "canary-5d1c7b";
    let data = json!({"host": "www.example.com", "path": format!("/{secret}")});
    let (good, bad) = ("aa000000-0000-4000-8000-000000000011", "aa000000-0000-4000-8000-000000000012");
    let rejected = json!({"host": 7, secret: secret});
    let url = format!("{}/events", pipeline.ingest.url());
    for (request, status) in [
        (pipeline.request("application/json").body(event(good, data.clone()).to_string()), 202),
        (pipeline.request("application/json").body(event(bad, rejected).to_string()), 202),
        (pipeline.request("application/json").body(format!("{{\"{secret}\":")), 400),
        (pipeline.request("application/json").body(json!({"session_id": 7, "data": data}).to_string()), 400),
        (pipeline.request("application/xml").body(secret), 415),
        (http.post(&url).bearer_auth(secret).body("{}"), 401),
        (http.post(format!("{url}?key={secret}")).body("{}"), 401),
        (http.post(format!("{url}?key={}", harness::pipeline::KEY)).body("{}"), 401),
    ] {
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    pipeline.settled().await;
    assert!(pipeline.get(&format!("/v1/events/{bad}")).await["raw"].as_str().unwrap().contains(secret));
    for service in services {
        let log = service.log();
        for line in log.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
            assert!(!line.contains(secret) && !line.contains(harness::pipeline::KEY), "{line}");
        }
    }
}

/// The id of the request that a line was logged for.
fn request_of(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line["span"]["request_id"].as_str()?.to_owned())
}
