//! One file of applications, one folder of event types, three services: the same truth for all, without a restart.

use std::time::Duration;

use harness::{Pipeline, eventually};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use schemas::apps::sha256_hex;

const PATIENCE: Duration = Duration::from_secs(60);

fn registry(apps: &[&str], readers: &[&str]) -> String {
    let entry = |kind: &str, name: &str| {
        format!("[[{kind}]]\nname = {name:?}\nkeys = [{{ sha256 = \"{}\" }}]\n", sha256_hex(name.as_bytes()))
    };
    let entries =
        apps.iter().map(|name| entry("app", name)).chain(readers.iter().map(|name| entry("reader", name)));
    entries.collect()
}

/// Swaps the file in one step, as a deployment does.
fn write(file: &std::path::Path, text: &str) {
    let next = file.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_and_readers_come_and_go_while_everything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("apps.toml");
    write(&file, &registry(&["demo-key"], &["analyst", "leaver"]));
    let pipeline = Pipeline::start_with(None, &[("EYE_APPS", file.to_str().unwrap())]).await;
    let services = || pipeline.projectors.iter().chain([&pipeline.ingest, &pipeline.query_api]);
    let pids: Vec<_> = services().map(|service| service.process.pid().unwrap()).collect();
    let http = reqwest::Client::new();
    let ask = async |key: &str, path: &str| {
        let url = format!("{}{path}", pipeline.query_api.url());
        http.get(url).bearer_auth(key).send().await.unwrap()
    };
    for (key, expected) in
        [("analyst", StatusCode::OK), ("leaver", StatusCode::OK), ("guess", StatusCode::UNAUTHORIZED)]
    {
        assert_eq!(ask(key, "/v1/event-types").await.status(), expected, "{key}");
    }

    write(&file, &registry(&["demo-key", "newcomer"], &["analyst", "joiner"]));
    // The first request that the gateway lets in: nobody has told the projector to read the file.
    let body = r#"{"session_id":"e2085be5-9137-4e4e-80b5-f1ffddc25423","category":"page interaction","name":"pageview",
        "data":{"host":"www.example.com","path":"/"},"timestamp":"2021-01-01 09:15:27.243860"}"#;
    let receipt = eventually(PATIENCE, async || {
        let url = format!("{}/events", pipeline.ingest.url());
        let request = http.post(url).bearer_auth("newcomer").header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        match answer.status() {
            StatusCode::ACCEPTED => Some(answer.json::<serde_json::Value>().await.unwrap()),
            status => {
                assert_eq!(status, StatusCode::UNAUTHORIZED);
                None
            }
        }
    })
    .await;
    let id = receipt["receipts"][0]["event_id"].as_str().unwrap();
    let fate = eventually(PATIENCE, async || {
        let answer = ask("analyst", &format!("/v1/events/{id}")).await;
        (answer.status() == StatusCode::OK).then_some(answer.json::<serde_json::Value>().await.unwrap())
    })
    .await;
    assert_eq!((&fate["verdict"], &fate["app"]), (&"accepted".into(), &"newcomer".into()), "{fate}");
    eventually(PATIENCE, async || {
        let (left, joined) = (ask("leaver", "/v1/event-types").await, ask("joiner", "/v1/event-types").await);
        (left.status() == StatusCode::UNAUTHORIZED && joined.status() == StatusCode::OK).then_some(())
    })
    .await;

    let mut stream = ask("joiner", "/v1/live").await;
    assert_eq!(stream.status(), StatusCode::OK);

    // A file that is just being written changes nothing, and SIGHUP ends nothing.
    write(&file, "");
    for pid in &pids {
        kill_process(Pid::from_raw(*pid as i32).unwrap(), Signal::HUP).unwrap();
    }
    for (service, name) in services().zip(["projector", "ingest", "query"]) {
        let refused = format!("eye_{name}_apps_loaded 0");
        eventually(PATIENCE, async || {
            let metrics =
                http.get(format!("{}/metrics", service.url())).send().await.ok()?.text().await.ok()?;
            metrics.contains(&refused).then_some(())
        })
        .await;
    }
    assert_eq!(ask("analyst", "/v1/event-types").await.status(), StatusCode::OK);

    // A key that is taken away ends what it opened; and without any reader nobody is let in, rather than everybody.
    write(&file, &registry(&["demo-key"], &[]));
    let ends = async { while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(PATIENCE, ends).await.expect("the stream ends");
    for key in ["analyst", "joiner", "guess"] {
        assert_eq!(ask(key, "/v1/event-types").await.status(), StatusCode::UNAUTHORIZED, "{key}");
    }
    assert_eq!(services().map(|service| service.process.pid().unwrap()).collect::<Vec<_>>(), pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_types_come_while_everything_runs() {
    let types = tempfile::tempdir().unwrap();
    // Long enough: the file comes when the event is in the log already.
    let wait = [("EYE_REGISTRY_WAIT", "60")];
    let pipeline = Pipeline::start_with(Some(types.path().into()), &wait).await;
    let event = r#"{"session_id":"e2085be5-9137-4e4e-80b5-f1ffddc25423","category":"shop","name":"till opened",
        "data":{"a":1},"timestamp":"2021-01-01 09:15:27.243860"}"#;
    // Its partition runs, and judges at once.
    let known = event.replace("shop", "page interaction").replace("till opened", "pageview");
    pipeline
        .send(&[known.replace(r#""a":1"#, r#""host":"www.example.com","path":"/""#).replace('\n', "")])
        .await;
    pipeline.settled().await;
    let receipts = pipeline.send(&[event.replace('\n', "")]).await;
    let fate_of = format!("/v1/events/{}", receipts[0].event_id.unwrap());
    let schema =
        r#"{"x-category":"shop","x-name":"till opened","x-version":1,"type":"object","required":["a"]}"#;
    std::fs::write(types.path().join("till.schema.json"), schema).unwrap();
    let fate = eventually(PATIENCE, async || {
        let (status, fate) = pipeline.ask(&fate_of).await;
        (status == 200).then_some(fate)
    })
    .await;
    assert_eq!(fate["verdict"], "accepted", "{fate}");
    eventually(PATIENCE, async || {
        // As text: an example has a number that is none.
        let types = reqwest::get(format!("{}/v1/event-types", pipeline.query_api.url())).await.ok()?;
        types.text().await.ok()?.contains("till opened").then_some(())
    })
    .await;
}
