//! Which events are taken, their records in the log, and the answers for the others.

use std::io::{BufRead, BufReader, Write};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::{Gateway, Options};

const SESSION: &str = "e2085be5-9137-4e4e-80b5-f1ffddc25423";

fn event(more: &str) -> String {
    format!(r#"{{ "session_id": "{SESSION}", "category": "c", "name": "n", "data": {{}}{more}}}"#)
}

fn place(receipt: &Value) -> (i64, i64) {
    let number = |key: &str| receipt[key].as_i64().unwrap_or_else(|| panic!("no {key} in {receipt}"));
    (number("partition"), number("offset"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_very_bytes_of_the_demo_data() {
    let gateway = Gateway::start(Options::default()).await;
    let file = include_bytes!("../../../tests/data/ecom/events-ecom.ndjson.gz");
    let events: Vec<String> =
        BufReader::new(GzDecoder::new(&file[..])).lines().collect::<Result<_, _>>().unwrap();
    let mut places = Vec::new();
    for (index, batch) in events.chunks(1000).enumerate() {
        let request = match index % 2 {
            0 => gateway.post("application/x-ndjson", batch.join("\n")),
            _ => gateway.post("application/json", format!("[{}]", batch.join(",\n "))),
        };
        let (status, answer) = gateway.answer(request).await;
        assert_eq!(status, 202, "{answer}");
        places.extend(answer["receipts"].as_array().unwrap().iter().map(place));
    }
    let log = gateway.log();
    assert_eq!(log.len(), events.len());
    for (event, place) in events.iter().zip(&places) {
        let logged = &log[place];
        assert_eq!(logged.value, event.as_bytes());
        let parsed: Value = serde_json::from_str(event).unwrap();
        assert_eq!(logged.key, parsed["session_id"].as_str().unwrap().as_bytes());
        assert_eq!(logged.headers["event_id"], parsed["event_id"].as_str().unwrap().as_bytes());
        assert_eq!(logged.headers["app"], b"shop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_in_input_order_and_a_bad_event_harms_no_neighbour() {
    let gateway =
        Gateway::start(Options { arguments: vec!["--max-event-bytes", "1000"], ..Options::default() }).await;
    let lines = [
        event(""),
        "not json".into(),
        r#"["a"]"#.into(),
        r#"{"name": "n"}"#.into(),
        event(&format!(r#", "x": "{}""#, "x".repeat(1000))),
        event(r#", "event_id": "0B0B0B0B-0000-4000-8000-000000000001""#),
        r#"{"session_id": "no uuid"}"#.into(),
    ];
    let (status, answer) = gateway.answer(gateway.post("application/x-ndjson", lines.join("\r\n"))).await;
    assert_eq!(status, 202);
    let said: Vec<&str> = answer["receipts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|receipt| receipt["error"]["code"].as_str().unwrap_or("appended"))
        .collect();
    let expected = [
        "appended",
        "invalid_json",
        "not_an_object",
        "missing_session_id",
        "event_too_large",
        "appended",
        "appended",
    ];
    assert_eq!(said, expected, "{answer}");
    assert_eq!(answer["receipts"][5]["event_id"], "0b0b0b0b-0000-4000-8000-000000000001");
    let log = gateway.log();
    assert_eq!(log[&place(&answer["receipts"][6])].value, lines[6].as_bytes());
    assert_eq!(log.len(), 3);
    // The session's key is canonical, whatever the id of the event.
    assert_eq!(log[&place(&answer["receipts"][5])].key, SESSION.as_bytes());
}

/// A sender must not repeat an event that no broker takes, or that is too deep for us.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_too_large_for_the_brokers_or_too_deep_has_an_error_of_its_own() {
    let arguments = vec!["--kafka", "message.max.bytes=2000"];
    let gateway = Gateway::start(Options { arguments, ..Options::default() }).await;
    let large = event(&format!(r#", "x": "{}""#, "x".repeat(3000)));
    let (status, answer) = gateway.answer(gateway.post("application/json", large.clone())).await;
    assert_eq!(
        (status, &answer["receipts"][0]["error"]["code"]),
        (400, &json!("event_too_large")),
        "{answer}"
    );
    let deep = event(&format!(r#", "x": {}{}"#, "[".repeat(130), "]".repeat(130)));
    // A key that is no session's id is cut: the record would not fit with all of it.
    let long_key = format!(r#"{{"session_id": "{}"}}"#, "ä".repeat(800));
    let body = format!("[{},{large},{deep},{long_key}]", event(""));
    let (status, answer) = gateway.answer(gateway.post("application/json", body)).await;
    let codes: Vec<&Value> = (0..4).map(|place| &answer["receipts"][place]["error"]["code"]).collect();
    let expected = [&Value::Null, &json!("event_too_large"), &json!("invalid_json"), &Value::Null];
    assert_eq!((status, &codes[..]), (202, &expected[..]), "{answer}");
    let logged = &gateway.log()[&place(&answer["receipts"][3])];
    assert!(logged.key.len() <= 256 && logged.value == long_key.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_says_what_to_do() {
    let gateway = Gateway::start(Options {
        arguments: vec!["--max-body-bytes", "10000", "--max-events", "50"],
        apps: format!(
            "[[app]]\nname = \"far\"\nnetworks = [\"10.0.0.0/8\"]\nkeys = [{{ sha256 = \"{}\" }}]\n",
            schemas::apps::sha256_hex(b"far")
        ),
    })
    .await;
    let post = |body: &str| gateway.post("application/json", body.to_string());
    let bare =
        |key: &str| gateway.http.post(format!("{}/events", gateway.url)).bearer_auth(key).body(event(""));
    let url = format!("{}/events", gateway.url);
    for (request, status, code) in [
        (gateway.http.post(&url).body(event("")), 401, "missing_key"),
        (bare("guess"), 401, "unknown_key"),
        (bare("far"), 403, "network_not_allowed"),
        (gateway.http.post(format!("{url}?key=key")).body(event("")), 401, "key_in_url"),
        (post(&event("")).header("origin", "https://elsewhere"), 403, "origin_not_allowed"),
        (post(""), 400, ""),
        (post("[]"), 400, "no_events"),
        (
            gateway.http.post(format!("{url}?app=shop")).bearer_auth("key").body(event("")),
            400,
            "invalid_parameter",
        ),
        (post("{}"), 400, ""),
        (post(&"x".repeat(10_001)), 413, "body_too_large"),
        (post(&format!("[{}1]", "1,".repeat(50))), 413, "too_many_events"),
        (gateway.post("application/xml", event("")), 415, "unsupported_media_type"),
        (post(&event("")).header("content-encoding", "lzw"), 415, "unsupported_encoding"),
        (post(&event("")).header("content-encoding", "gzip"), 400, "bad_encoding"),
        (gateway.http.get(format!("{}/nowhere", gateway.url)), 404, "not_found"),
        (gateway.http.get(&url), 405, "method_not_allowed"),
    ] {
        let (got, answer) = gateway.answer(request).await;
        assert_eq!(got, status, "{code}: {answer}");
        match code {
            "" => assert!(answer["receipts"][0]["error"]["message"].is_string(), "{answer}"),
            code => {
                assert_eq!((&answer["code"], answer["detail"].is_string()), (&json!(code), true), "{answer}")
            }
        }
    }
    assert!(gateway.log().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_send_text_and_packed_bodies_inflate() {
    let key = schemas::apps::sha256_hex(b"page");
    let apps = format!(
        "[[app]]\nname = \"page\"\norigins = [\"https://page\"]\nkeys = [{{ sha256 = \"{key}\", browser = true }}]\n"
    );
    let gateway = Gateway::start(Options { apps, ..Options::default() }).await;
    let beacon = gateway.http.post(format!("{}/events?key=page", gateway.url));
    let beacon = beacon.header("content-type", "text/plain;charset=UTF-8").header("origin", "https://page");
    let (status, answer) = gateway.answer(beacon.body(event(""))).await;
    assert_eq!(status, 202, "{answer}");
    let preflight = async |origin| {
        let ask = gateway.http.request(reqwest::Method::OPTIONS, format!("{}/events", gateway.url));
        let ask = ask.header("origin", origin).header("access-control-request-method", "POST");
        let answer = ask.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.headers().get("access-control-allow-origin").map(|origin| origin.to_str().unwrap().to_owned())
    };
    assert_eq!(preflight("https://page").await.as_deref(), Some("https://page"));
    assert_eq!(preflight("https://elsewhere").await, None);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(event("").as_bytes()).unwrap();
    let packed = gateway.post("application/json", gzip.finish().unwrap()).header("content-encoding", "gzip");
    let traced = packed.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let (status, answer) = gateway.answer(traced).await;
    assert_eq!(status, 202, "{answer}");
    let log = gateway.log();
    let logged = &log[&place(&answer["receipts"][0])];
    assert_eq!(logged.value, event("").as_bytes());
    assert_eq!(logged.headers["traceparent"], b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(std::str::from_utf8(&logged.headers["received_at"]).unwrap().ends_with('Z'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_registry_is_in_force_without_a_restart() {
    let gateway = Gateway::start(Options::default()).await;
    let with = |key: &str| {
        gateway.http.post(format!("{}/events", gateway.url)).bearer_auth(key.to_string()).body(event(""))
    };
    assert_eq!(gateway.answer(with("later")).await.0, 401);
    let mut registry = std::fs::read_to_string(&gateway.apps).unwrap();
    registry += &format!(
        "[[app]]\nname = \"later\"\nkeys = [{{ sha256 = \"{}\" }}]\n",
        schemas::apps::sha256_hex(b"later")
    );
    std::fs::write(&gateway.apps, registry).unwrap();
    for _ in 0..600 {
        if gateway.answer(with("later")).await.0 == 202 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the new key is never taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_marked_personal_are_not_in_the_log() {
    let types = tempfile::tempdir().unwrap();
    let schema = json!({
        "x-category": "c", "x-name": "n", "x-version": 1, "type": "object",
        "properties": {
            "email": {"type": "string", "x-personal": "redact"},
            "users": {"type": "array", "items": {"type": "string", "x-personal": "hash"}},
        },
    });
    std::fs::write(types.path().join("n.schema.json"), schema.to_string()).unwrap();
    let types: &'static str = types.keep().into_os_string().into_string().unwrap().leak();
    let mut arguments = vec!["--event-types", types, "--personal-key", "0123456789abcdef0123456789abcdef"];
    arguments.extend(["--max-body-bytes", "20000"]);
    let gateway = Gateway::start(Options { arguments, ..Options::default() }).await;

    let with = |data: &str| event("").replace("{}", data);
    let sent = with(r#"{"email":"a@b.c", "users":["ann", "bob","ann"],"n":1.0 }"#);
    let undeclared = with(r#"{"email":"a@b.c"}"#).replace("\"n\"", "\"m\"");
    let unmarked = undeclared.replace("\"c\"", "\"page interaction\"").replace("\"m\"", "\"pageview\"");
    let unreadable = with(r#"{"email":"\ud800"}"#);
    let body = format!("[{sent},{unmarked} , {unreadable},{undeclared}]");
    let (status, answer) = gateway.answer(gateway.post("application/json", body)).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["receipts"][2]["error"]["code"], "invalid_json", "{answer}");
    // Its schema may have marks that this gateway does not know yet.
    assert_eq!(answer["receipts"][3]["error"]["code"], "undeclared_event_type", "{answer}");
    let log = gateway.log();
    assert_eq!(log.len(), 2);
    assert_eq!(log[&place(&answer["receipts"][1])].value, unmarked.as_bytes());
    // `printf ann | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`
    let ann = "07db5b4bba5fef53c763f1a9cb1ae82cfbf75937aff297f88e797bebf09bfd95";
    let bob = "643cdfc83364b72c5248ec2d45e7cd58caf99310228f3c6a590bd299519248a7";
    let users = format!(r#"["{ann}", "{bob}","{ann}"]"#);
    let expected = sent.replace("a@b.c", "[redacted]").replace(r#"["ann", "bob","ann"]"#, &users);
    let value = &log[&place(&answer["receipts"][0])].value;
    assert_eq!(std::str::from_utf8(value).unwrap(), expected);

    // Hashes are longer than what they stand for: the bound of a body holds for what it becomes, too.
    let grows = with(&format!(r#"{{"users":[{}"ann"]}}"#, r#""ann","#.repeat(1000)));
    assert!(grows.len() < 10_000);
    let (status, answer) = gateway.answer(gateway.post("application/json", grows)).await;
    assert_eq!((status, &answer["code"]), (413, &json!("body_too_large")), "{answer}");
}
