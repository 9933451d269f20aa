//! An answer comes within the bound, and nothing is lost, whatever the brokers and other senders do.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use ingest::config::Cli;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::gateway::broker;
use crate::{Gateway, Options};

/// The head of a request that is written by hand, up to its length.
const HEAD: &str =
    "POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Type: application/x-ndjson\r\n";

fn events(count: usize) -> (Vec<Uuid>, String) {
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
    let lines = ids
        .iter()
        .map(|id| format!(r#"{{"session_id":"{id}","event_id":"{id}","x":"{}"}}"#, "x".repeat(200)));
    (ids.clone(), lines.collect::<Vec<_>>().join("\n"))
}

/// The broker is stopped, and requests come at once. Those that the queue has room for wait; the others are told that
/// it is full.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_events_wait_for_the_brokers_than_the_queue_holds() {
    let arguments = vec!["--wait", "2", "--queue-events", "500"];
    let gateway = Gateway::start_on(broker().await, Options { arguments, ..Options::default() }).await;
    let send = async || {
        let (_, answer) = gateway.answer(gateway.post("application/x-ndjson", events(50).1)).await;
        answer["code"].as_str().unwrap_or("taken").to_owned()
    };
    assert_eq!(send().await, "taken");
    gateway.kafka.process.pause();
    let answers = futures::future::join_all((0..16).map(|_| send()));
    let (mut answers, ()) =
        tokio::join!(answers, gateway.until("eye_ingest_queue_events", |queued| queued == 500));
    gateway.kafka.process.resume();
    answers.sort();
    assert_eq!(answers, [vec!["brokers_slow"; 10], vec!["queue_full"; 6]].concat());
}

/// Senders send while the broker is stopped and continued. Each is answered in time, and every event that was
/// acknowledged is in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_broker_costs_a_503_and_loses_nothing_acknowledged() {
    let arguments = vec!["--wait", "2", "--queue-events", "500"];
    let gateway =
        Arc::new(Gateway::start_on(broker().await, Options { arguments, ..Options::default() }).await);
    let enough = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> =
        (0..16).map(|_| tokio::spawn(send_until(Arc::clone(&enough), Arc::clone(&gateway)))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    gateway.kafka.process.pause();
    tokio::time::sleep(Duration::from_secs(8)).await;
    gateway.kafka.process.resume();
    // Taken again, without a restart.
    let (_, body) = events(1);
    let began = Instant::now();
    while gateway.answer(gateway.post("application/x-ndjson", body.clone())).await.0 != 202 {
        assert!(began.elapsed() < Duration::from_secs(60), "does not recover");
    }
    enough.store(true, Ordering::Relaxed);

    let mut sent = Sent::default();
    for sender in senders {
        let theirs = sender.await.unwrap();
        sent.acknowledged.extend(theirs.acknowledged);
        sent.refused += theirs.refused;
        sent.slowest = sent.slowest.max(theirs.slowest);
    }
    let log = gateway.log();
    let in_log: HashSet<Uuid> =
        log.values().map(|logged| Uuid::try_parse_ascii(&logged.headers["event_id"]).unwrap()).collect();
    let Sent { acknowledged, refused, slowest } = sent;
    println!(
        "{} acknowledged, {refused} requests refused, slowest answer {slowest:?}, {} records",
        acknowledged.len(),
        log.len()
    );
    assert!(refused > 0 && !acknowledged.is_empty());
    assert!(acknowledged.is_subset(&in_log), "acknowledged, and not in the log");
    // Three seconds more than the gateway waits are the machine's.
    assert!(slowest < Duration::from_secs(5), "an answer took {slowest:?}");
}

/// The answers that a sender got.
#[derive(Default)]
struct Sent {
    acknowledged: HashSet<Uuid>,
    refused: u32,
    slowest: Duration,
}

async fn send_until(enough: Arc<AtomicBool>, gateway: Arc<Gateway>) -> Sent {
    let mut sent = Sent::default();
    while !enough.load(Ordering::Relaxed) {
        let (ids, body) = events(50);
        let began = Instant::now();
        let response = gateway.post("application/x-ndjson", body).send().await.unwrap();
        sent.slowest = sent.slowest.max(began.elapsed());
        match response.status().as_u16() {
            202 => {
                let answer: serde_json::Value =
                    serde_json::from_str(&response.text().await.unwrap()).unwrap();
                let receipts = answer["receipts"].as_array().unwrap();
                let taken = ids.iter().zip(receipts).filter(|(_, receipt)| receipt["offset"].is_i64());
                sent.acknowledged.extend(taken.map(|(id, _)| *id));
            }
            503 => {
                sent.refused += 1;
                let wait = response.headers()["retry-after"].to_str().unwrap().parse::<u64>();
                assert!(wait.unwrap() >= 1);
            }
            other => panic!("{other}: {}", response.text().await.unwrap()),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_over_its_rate_is_told_when_to_come_back_and_others_go_on() {
    let key = schemas::apps::sha256_hex(b"noisy");
    let apps =
        format!("[[app]]\nname = \"noisy\"\nrate = 1\nburst = 10\nkeys = [{{ sha256 = \"{key}\" }}]\n");
    let gateway = Gateway::start(Options { apps, ..Options::default() }).await;
    let noisy = |count| {
        let request = gateway.http.post(format!("{}/events", gateway.url)).bearer_auth("noisy");
        request.header("content-type", "application/x-ndjson").body(events(count).1)
    };
    assert_eq!(gateway.answer(noisy(11)).await.0, 413, "more than ever fits");
    assert_eq!(gateway.answer(noisy(10)).await.0, 202);
    let refused = noisy(10).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(gateway.answer(gateway.post("application/x-ndjson", events(100).1)).await.0, 202);
}

/// An application that does not stop costs no more than its headers: it is refused before its bodies are
/// read, while each request of another is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_application_is_refused_unread() {
    let key = schemas::apps::sha256_hex(b"noisy");
    let apps =
        format!("[[app]]\nname = \"noisy\"\nrate = 1\nburst = 10\nkeys = [{{ sha256 = \"{key}\" }}]\n");
    let gateway = Arc::new(Gateway::start(Options { apps, ..Options::default() }).await);
    let enough = Arc::new(AtomicBool::new(false));
    let body = events(10).1.replace("\"x\":\"", &format!("\"x\":\"{}", "x".repeat(20_000)));
    let noise: Vec<_> = (0..16)
        .map(|_| {
            let (gateway, enough, body) = (Arc::clone(&gateway), Arc::clone(&enough), body.clone());
            tokio::spawn(async move {
                let mut refused = 0;
                while !enough.load(Ordering::Relaxed) {
                    let request = gateway.http.post(format!("{}/events", gateway.url)).bearer_auth("noisy");
                    let request = request.header("content-type", "application/x-ndjson");
                    // The refusal may come while the body is still being sent; then the connection ends.
                    let answer = request.body(body.clone()).send().await;
                    refused += u32::from(answer.is_ok_and(|answer| answer.status() == 429));
                }
                refused
            })
        })
        .collect();
    for _ in 0..50 {
        let (status, answer) = gateway.answer(gateway.post("application/x-ndjson", events(100).1)).await;
        assert_eq!(status, 202, "{answer}");
    }
    // A request without its body is refused; only if it comes at the moment when the application may send
    // again (once a second) is its body waited for, until 408.
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut answers = Vec::new();
    while !answers.contains(&b"HTTP/1.1 429".to_vec()) {
        assert!(answers.len() < 20, "bodies are read before the rate is looked at");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            "POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer noisy\r\nContent-Length: 9000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        answers.push(answer);
    }
    enough.store(true, Ordering::Relaxed);
    for noisy in noise {
        assert!(noisy.await.unwrap() > 0);
    }
}

/// Senders that never finish their headers or body are cut off.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sender_is_cut_off() {
    let gateway = Gateway::start(Options { arguments: vec!["--read", "1"], ..Options::default() }).await;
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut headers = TcpStream::connect(address).await.unwrap();
    headers.write_all(b"POST /events HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut body = TcpStream::connect(address).await.unwrap();
    body.write_all(
        b"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Length: 100\r\n\r\n{",
    )
    .await
    .unwrap();
    let mut answer = String::new();
    headers.read_to_string(&mut answer).await.unwrap();
    let mut answer = vec![0; 12];
    body.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    // A peer that sends nothing, or only the beginning of HTTP/2's preface, is cut off, too.
    for said in ["", "P", "PRI * HTTP/2.0\r\n"] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(said.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), silent.read(&mut [0; 100])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{said:?}: {ended:?}");
    }
}

/// An idempotent producer that lost count refuses everything for ever: the gateway ends, so that another one starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_error_of_the_producer_ends_the_gateway() {
    let brokers = MockCluster::new(1).unwrap();
    brokers.create_topic("log", 1, 1).unwrap();
    let lost = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    brokers.request_errors(RDKafkaApiKey::Produce, &[lost]);
    let address = brokers.bootstrap_servers();
    let apps = tempfile::NamedTempFile::new().unwrap();
    let key = schemas::apps::sha256_hex(b"key");
    std::fs::write(&apps, format!("[[app]]\nname = \"shop\"\nkeys = [{{ sha256 = \"{key}\" }}]\n")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let registry = apps.path().to_str().unwrap();
    let arguments = ["ingest", "--kafka-brokers", &address, "--topic", "log", "--apps", registry];
    let config = Cli::try_parse_from(arguments).unwrap().config;
    let served = tokio::spawn(ingest::serve(config, listener, std::future::pending()));
    let answer = reqwest::Client::new().post(url).bearer_auth("key").body(events(1).1).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let ended = tokio::time::timeout(Duration::from_secs(60), served).await.expect("it ends");
    let error = ended.unwrap().unwrap_err().to_string();
    assert!(error.contains("takes no more records"), "{error}");
}

/// Answers that a sender does not read are not kept for it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_read_is_cut_off() {
    let gateway = Gateway::start(Options { arguments: vec!["--read", "1"], ..Options::default() }).await;
    let mut sender = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).await.unwrap();
    let body = "{}\n".repeat(10_000);
    let request = format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len());
    // Each answer has over a megabyte. At some time the gateway takes no further request, and then no connection.
    let cut_off = async { while sender.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), cut_off).await.expect("cut off");
}

/// The brokers' time begins when the body is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_take_longer_than_the_brokers() {
    let gateway = Gateway::start(Options { arguments: vec!["--wait", "1"], ..Options::default() }).await;
    let mut sender = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).await.unwrap();
    let (_, body) = events(2);
    let (first, rest) = body.split_at(body.len() / 2);
    let first = format!("{HEAD}Content-Length: {}\r\n\r\n{first}", body.len());
    sender.write_all(first.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    sender.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    sender.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 202");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_the_requests_under_way() {
    let kafka = broker().await;
    let mut gateway = Gateway::start_on(Arc::clone(&kafka), Options::default()).await;
    kafka.process.pause();
    let sending = tokio::spawn(gateway.post("application/x-ndjson", events(1000).1).send());
    gateway.until("eye_ingest_queue_events", |queued| queued == 1000).await;
    let health = format!("{}/healthz", gateway.url);
    let refused = async {
        // Each time by a new connection.
        while reqwest::get(&health).await.is_ok() {}
        kafka.process.resume();
    };
    let (stopped, refused) =
        tokio::join!(gateway.stop(), tokio::time::timeout(Duration::from_secs(60), refused));
    refused.expect("no new connections");
    stopped.unwrap();
    assert_eq!(sending.await.unwrap().unwrap().status(), 202);
    assert_eq!(gateway.log().len(), 1000);
}
