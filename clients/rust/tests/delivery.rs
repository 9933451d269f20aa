//! Each accepted event arrives exactly once by its id, or is counted, whatever the gateway does: here it
//! is a real HTTP server that misbehaves on purpose, in ways the real one can't be made to show on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use the_eye_client::{Client, Dropped, InvalidOption, Options};
use tokio::net::TcpListener;
use uuid::Uuid;

/// What befalls one request.
#[derive(Clone, Copy)]
enum Fault {
    Status(u16),
    RetryAfter(u16, &'static str),
    /// The answer is cut in its middle, after the events were appended.
    CutShort,
    /// Appended, and never answered.
    Hang,
    NoReceipts,
    TooLargeOver(usize),
    /// Refuse the event at this place with this code.
    Refuse(usize, &'static str),
}

#[derive(Default)]
struct Gateway {
    /// Taken by one request each; when there are none left all is well.
    faults: VecDeque<Fault>,
    /// How many events each request had, and when it came.
    requests: Vec<(usize, Instant)>,
    log: Vec<Value>,
    authorization: String,
}

type Shared = Arc<Mutex<Gateway>>;

impl Gateway {
    async fn start(faults: &[Fault]) -> (Shared, Options) {
        let gateway = Shared::default();
        gateway.lock().unwrap().faults.extend(faults);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = Options::new(format!("http://{}", listener.local_addr().unwrap()), "k");
        options.flush_interval = Duration::from_millis(5);
        let app = Router::new().route("/events", post(serve)).with_state(gateway.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (gateway, options)
    }

    /// The ids in the log, first copies only: later ones are judged duplicates.
    fn ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for event in &self.log {
            let id = event["event_id"].as_str().unwrap().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    fn append(&mut self, event: &Value) -> Value {
        self.log.push(event.clone());
        json!({"event_id": event["event_id"], "partition": 0, "offset": self.log.len() - 1})
    }
}

async fn serve(State(gateway): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let events: Vec<Value> = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let fault = {
        let mut gateway = gateway.lock().unwrap();
        gateway.requests.push((events.len(), Instant::now()));
        gateway.authorization = headers["authorization"].to_str().unwrap().to_owned();
        gateway.faults.pop_front()
    };
    let append = || -> Vec<Value> {
        let mut gateway = gateway.lock().unwrap();
        events.iter().map(|event| gateway.append(event)).collect()
    };
    match fault {
        Some(Fault::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::RetryAfter(status, wait)) => {
            (StatusCode::from_u16(status).unwrap(), [("Retry-After", wait)]).into_response()
        }
        Some(Fault::NoReceipts) => (StatusCode::ACCEPTED, "thanks").into_response(),
        Some(Fault::TooLargeOver(count)) if events.len() > count => {
            StatusCode::PAYLOAD_TOO_LARGE.into_response()
        }
        Some(Fault::Hang) => {
            append();
            std::future::pending().await
        }
        Some(Fault::CutShort) => {
            let receipts = json!({"receipts": append()}).to_string();
            let half = Body::from(receipts[..receipts.len() / 2].to_owned());
            ([("Content-Length", receipts.len().to_string())], half).into_response()
        }
        Some(Fault::Refuse(place, code)) => {
            let mut gateway = gateway.lock().unwrap();
            let receipt = |(n, event)| {
                if n == place { json!({"error": {"code": code}}) } else { gateway.append(event) }
            };
            let receipts: Vec<Value> = events.iter().enumerate().map(receipt).collect();
            (StatusCode::ACCEPTED, json!({"receipts": receipts}).to_string()).into_response()
        }
        _ => (StatusCode::ACCEPTED, json!({"receipts": append()}).to_string()).into_response(),
    }
}

fn track(client: &Client, count: usize) -> Vec<String> {
    let session = Uuid::new_v4();
    let one = |n| client.track(session, "test", "event", &json!({"n": n})).unwrap().to_string();
    (0..count).map(one).collect()
}

#[tokio::test]
async fn an_event_is_sent_as_the_contract_says() {
    let (gateway, options) = Gateway::start(&[]).await;
    let client = Client::start(options).unwrap();
    let session = Uuid::new_v4();
    let id = client.track(session, "page interaction", "pageview", &json!({"host": "h", "path": "/é"}));
    client.close().await;
    let gateway = gateway.lock().unwrap();
    let mut event = gateway.log[0].clone();
    let fields = event.as_object_mut().unwrap();
    let (timestamp, sent_at) = (fields.remove("timestamp").unwrap(), fields.remove("sent_at").unwrap());
    assert!(timestamp.as_str().unwrap() <= sent_at.as_str().unwrap());
    assert_eq!(timestamp.as_str().unwrap().len(), "2021-01-01T09:15:27.243860Z".len());
    let expected = json!({
        "event_id": id, "session_id": session, "category": "page interaction", "name": "pageview",
        "data": {"host": "h", "path": "/é"},
    });
    assert_eq!(event, expected);
    assert_eq!(gateway.authorization, "Bearer k");
}

#[tokio::test]
async fn events_travel_in_batches_and_in_order() {
    let (gateway, mut options) = Gateway::start(&[]).await;
    options.batch_events = 10;
    options.flush_interval = Duration::from_secs(60);
    let client = Client::start(options).unwrap();
    let ids = track(&client, 105);
    client.close().await;
    let gateway = gateway.lock().unwrap();
    assert_eq!(gateway.ids(), ids);
    let sizes: Vec<_> = gateway.requests.iter().map(|(events, _)| *events).collect();
    assert_eq!(sizes, [vec![10; 10], vec![5]].concat());
}

#[tokio::test]
async fn faults_are_retried_under_the_same_ids() {
    let faults = [
        Fault::Status(503),
        Fault::Status(500),
        Fault::RetryAfter(429, "0"),
        Fault::Status(401),
        Fault::CutShort,
        Fault::Hang,
        Fault::NoReceipts,
    ];
    for fault in faults {
        let (gateway, mut options) = Gateway::start(&[fault, fault]).await;
        // Short only where waiting for it is the point: a busy machine may take long for an answer, too.
        options.timeout =
            if matches!(fault, Fault::Hang) { Duration::from_millis(200) } else { Duration::from_secs(30) };
        let client = Client::start(options).unwrap();
        let ids = track(&client, 20);
        assert!(client.flush(Duration::from_secs(60)).await);
        assert_eq!(gateway.lock().unwrap().ids(), ids);
        let stats = client.stats();
        assert_eq!((stats.accepted, stats.delivered, stats.waiting), (20, 20, 0));
        assert!(stats.retries >= 2);
    }
}

#[tokio::test]
async fn retry_after_is_honoured_also_by_close() {
    for status in [429, 503] {
        let (gateway, options) = Gateway::start(&[Fault::RetryAfter(status, "1")]).await;
        let client = Client::start(options).unwrap();
        track(&client, 1);
        client.close().await;
        let gateway = gateway.lock().unwrap();
        let [(_, first), (_, second)] = gateway.requests[..] else { panic!("two requests") };
        assert!(second - first >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn one_refused_event_harms_no_neighbour() {
    let (gateway, options) = Gateway::start(&[Fault::Refuse(1, "invalid_field")]).await;
    let client = Client::start(options).unwrap();
    let ids = track(&client, 3);
    client.close().await;
    assert_eq!(gateway.lock().unwrap().ids(), [ids[0].clone(), ids[2].clone()]);
    let stats = client.stats();
    assert_eq!(stats.rejected, [("invalid_field".to_owned(), 1)].into());
    assert_eq!((stats.delivered, stats.retries), (2, 0));
}

#[tokio::test]
async fn an_event_the_brokers_did_not_take_is_sent_again_alone() {
    let (gateway, options) = Gateway::start(&[Fault::Refuse(1, "brokers_slow")]).await;
    let client = Client::start(options).unwrap();
    track(&client, 3);
    assert!(client.flush(Duration::from_secs(60)).await);
    let gateway = gateway.lock().unwrap();
    let sizes: Vec<_> = gateway.requests.iter().map(|(events, _)| *events).collect();
    assert_eq!((sizes, gateway.ids().len()), (vec![3, 1], 3));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_halved_and_keeps_its_order() {
    let (gateway, options) = Gateway::start(&[Fault::TooLargeOver(3); 100]).await;
    let client = Client::start(options).unwrap();
    let ids = track(&client, 16);
    assert!(client.flush(Duration::from_secs(60)).await);
    assert_eq!(gateway.lock().unwrap().ids(), ids);
}

#[tokio::test]
async fn the_queue_is_bounded_and_the_end_too_and_all_is_counted() {
    let mut options = Options::new("http://127.0.0.1:9", "k");
    options.buffer_events = 10;
    options.max_event_bytes = 1000;
    options.close_timeout = Duration::from_millis(100);
    let client = Client::start(options).unwrap();
    assert!(client.track(Uuid::new_v4(), "test", "event", &"x".repeat(1000)).is_none());
    let unserialisable = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(client.track(Uuid::new_v4(), "test", "event", &unserialisable).is_none());
    let accepted = (0..25).filter(|_| client.track(Uuid::new_v4(), "test", "event", &json!({})).is_some());
    assert_eq!(accepted.count(), 10);
    client.close().await;
    assert!(client.track(Uuid::new_v4(), "test", "event", &json!({})).is_none());
    let stats = client.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.lost, stats.waiting), (10, 0, 10, 0));
    let dropped =
        [(Dropped::BufferFull, 15), (Dropped::Invalid, 1), (Dropped::TooLarge, 1), (Dropped::Closed, 1)];
    assert_eq!(stats.dropped, dropped.into());
}

#[tokio::test]
async fn a_client_that_is_dropped_still_sends() {
    let (gateway, mut options) = Gateway::start(&[]).await;
    options.flush_interval = Duration::from_secs(60);
    track(&Client::start(options).unwrap(), 3);
    let deadline = Instant::now() + Duration::from_secs(10);
    while gateway.lock().unwrap().log.len() < 3 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn white_space_around_url_and_key_is_cut_off() {
    let (gateway, mut options) = Gateway::start(&[]).await;
    options.url = format!(" {}\n", options.url);
    options.key = "\ta-key\r\n".to_owned();
    let client = Client::start(options).unwrap();
    track(&client, 1);
    client.close().await;
    assert_eq!(client.stats().delivered, 1);
    assert_eq!(gateway.lock().unwrap().authorization, "Bearer a-key");
}

#[tokio::test]
async fn options_that_no_request_can_carry_are_refused_and_not_shown() {
    for key in ["", " ", "a\u{2013}secret", "a\nsecret", "a\u{7f}secret", "s\u{e9}cret"] {
        let error = Client::start(Options::new("http://127.0.0.1:9", key)).unwrap_err();
        assert_eq!(error, InvalidOption::Key);
        assert!(!format!("{error} {error:?}").contains("cret"));
    }
    for url in ["", "a-secret", "eye.example.com", "ftp://eye.example.com"] {
        assert_eq!(Client::start(Options::new(url, "k")).unwrap_err(), InvalidOption::Url);
    }
    assert!(!format!("{:?}", Options::new("http://127.0.0.1:9", "a-secret")).contains("secret"));
}
