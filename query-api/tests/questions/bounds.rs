//! What one asker can take: room, bytes and time.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::world::{Sent, World};

/// Events of 50 kB each.
fn large(events: u128) -> Vec<Sent> {
    (0..events)
        .map(|n| Sent {
            event_id: Uuid::from_u128(n + 1),
            session_id: Uuid::from_u128(1),
            app: "web".into(),
            category: "browse".into(),
            name: "home".into(),
            data: format!("{{\"text\": \"{}\"}}", "x".repeat(50_000)),
            time: 1_735_689_600_000_000 + n as i64,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_that_sends_its_question_slowly_takes_no_room() {
    let world = World::with(|config| config.limits.concurrency = 1).await;
    let url = world.request("").build().unwrap().url().clone();
    let mut slow = Vec::new();
    for path in ["/v1/order/funnel", "/v1/order/paths"] {
        let mut connection = TcpStream::connect(("127.0.0.1", url.port().unwrap())).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: eye\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        // The service says this when it begins to wait for the body.
        assert_eq!(answer(&mut connection).await, "HTTP/1.1 100 Continue\r\n\r\n");
        connection.write_all(b"{").await.unwrap();
        slow.push(connection);
    }
    world.get("/v1/features").await;
    for mut connection in slow {
        let answer = answer(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{answer}");
    }
}

async fn answer(connection: &mut TcpStream) -> String {
    let mut answer = vec![0; 1000];
    let read = connection.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_and_an_export_are_bounded() {
    let mut world = World::with(|config| config.limits.concurrency = 1).await;
    // More than a page may have, and than the buffers of a connection.
    world.append(&large(1600), 200).await;
    for path in ["/v1/events?limit=1000", &format!("/v1/sessions/{}?limit=10000", Uuid::from_u128(1))] {
        let (status, code, _) = world.problem(world.request(path)).await;
        assert_eq!((status, code.as_str()), (422, "too_large"), "{path}");
    }
    let page: Value = world.get("/v1/events?limit=100").await;
    assert_eq!(page["events"].as_array().unwrap().len(), 100);

    // An export keeps its room to its end, though its head is long there.
    let export = world.request("/v1/events").header("accept", "application/x-ndjson").send().await.unwrap();
    assert_eq!(export.status(), 200);
    assert_eq!(world.problem(world.request("/v1/features")).await.1, "busy");
    let rows = export.text().await.unwrap();
    assert_eq!(rows.lines().count(), 1600);
    let free = async || {
        while world.request("/v1/features").send().await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), free()).await.expect("room again after the export");
    // Or until its reader is gone.
    let export = world.request("/v1/events").header("accept", "application/x-ndjson").send().await.unwrap();
    assert_eq!(world.problem(world.request("/v1/features")).await.1, "busy");
    drop(export);
    tokio::time::timeout(Duration::from_secs(30), free()).await.expect("room again without a reader");
}
