//! Clients that leave in the middle, and errors in the middle.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use crate::support::{eventually, server};

#[tokio::test]
async fn an_error_in_the_middle_is_marked_and_cuts_the_answer_short() {
    let server = server().await;
    let sql = "SELECT throwIf(number = 250000, 'boom'), number FROM numbers(1000000) \
               SETTINGS max_threads = 1, max_block_size = 10000";
    let response = server.post(&[], sql).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let tag = response.headers()["x-clickhouse-exception-tag"].to_str().unwrap().to_owned();
    let mut response = response;
    let mut body = Vec::new();
    let cut = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(cut, "the body must not end as if it were whole");
    let text = String::from_utf8(body).unwrap();
    let (rows, marked) = text.split_once(&format!("\r\n__exception__\r\n{tag}\r\n")).unwrap();
    assert!(rows.lines().count() > 10_000);
    let (message, rest) = marked.split_once('\n').unwrap();
    assert!(message.starts_with("Code: 395. DB::Exception: boom"), "{message}");
    assert_eq!(rest, format!("{} {tag}\r\n__exception__\r\n", message.len() + 1));
}

#[tokio::test]
async fn one_statement_at_a_time_under_an_id_until_its_client_leaves() {
    let server = server().await;
    let id = [("query_id", "the-one")];
    // An aggregate sends nothing by which a lost client would be noticed.
    let endless = "SELECT sum(sleepEachRow(0.5)) FROM numbers(1000) SETTINGS max_block_size = 1";
    // Tries again when it meets the short statement below.
    let attempt = server.post(&id, endless);
    let running = tokio::spawn(async move {
        while attempt.try_clone().unwrap().send().await.is_ok_and(|response| response.status() == 500) {}
    });
    eventually("the second is refused", || async {
        let (status, text) = server.try_sql(&id, "SELECT 1").await;
        status == 500 && text.starts_with("Code: 216. ")
    })
    .await;
    running.abort();
    eventually("the id is free again", || async { server.try_sql(&id, "SELECT 1").await.0 == 200 }).await;
    eventually("the engine runs it no more", || async {
        server.sql("SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'").await == "1"
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_it() {
    let server = server().await;
    let mut response =
        server.post(&[], "SELECT number, repeat('x', 100) FROM numbers(1000000000)").send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    eventually("the engine runs it no more", || async {
        server.sql("SELECT count() FROM system.processes WHERE query LIKE '%repeat%'").await == "1"
    })
    .await;
}

#[tokio::test]
async fn half_an_insert_leaves_nothing() {
    let server = server().await;
    server.sql("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a").await;
    let address = server.stack.address();
    for length in ["Transfer-Encoding: chunked", "Content-Length: 1000000"] {
        let head = format!(
            "POST /?query=INSERT%20INTO%20t%20FORMAT%20TSV&query_id=half HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n"
        );
        let rows = "row\n".repeat(1000);
        let body = if length.starts_with('T') { format!("{:x}\r\n{rows}\r\n", rows.len()) } else { rows };
        let stream = Mutex::new(None);
        eventually("the insert runs", || async {
            if server.try_sql(&[("query_id", "half")], "SELECT 1").await.1.starts_with("Code: 216") {
                return true;
            }
            // Not begun yet, or it met the short statement above and was refused.
            let mut again = TcpStream::connect(address).unwrap();
            again.write_all(format!("{head}{body}").as_bytes()).unwrap();
            *stream.lock().unwrap() = Some(again);
            false
        })
        .await;
        drop(stream);
        eventually("the insert has ended", || async {
            server.try_sql(&[("query_id", "half")], "SELECT 1").await.0 == 200
        })
        .await;
        assert_eq!(server.sql("SELECT count() FROM t").await, "0", "{length}");
    }
}

#[tokio::test]
async fn a_refused_insert_is_answered_while_its_client_still_sends() {
    let server = server().await;
    let address = server.stack.address();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let size = 32 << 20;
        let head =
            "POST /?query=INSERT%20INTO%20nowhere%20FORMAT%20TSV HTTP/1.1\r\nHost: x\r\nConnection: close";
        stream.write_all(format!("{head}\r\nContent-Length: {size}\r\n\r\n").as_bytes()).unwrap();
        let piece = "row\n".repeat(64 << 10);
        for _ in 0..size / piece.len() {
            stream.write_all(piece.as_bytes()).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("Code: 60. "), "{answer}");
}
