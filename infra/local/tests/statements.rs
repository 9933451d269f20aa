//! The services rely on this: blocks, the ids of statements, and clients that leave in the middle.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;

use crate::support::{DATABASE, answer, eventually, server};

/// Only a block is inserted all or nothing, and a chunk of the projector is one.
#[tokio::test]
async fn a_block_of_native_is_inserted_whole_where_rows_are_cut() {
    let server = server().await;
    for (format, is_whole) in [("Native", true), ("RowBinary", false)] {
        let select = format!(
            "SELECT number FROM numbers(200000) FORMAT {format} SETTINGS max_block_size = 200000, max_threads = 1"
        );
        let rows = server.post(&[], select).send().await.unwrap().bytes().await.unwrap();
        server
            .sql(&format!("CREATE TABLE {format} (number UInt64) ENGINE = MergeTree ORDER BY number"))
            .await;
        let insert = format!("INSERT INTO {format} FORMAT {format}");
        let small = [
            ("query", insert.as_str()),
            ("async_insert", "0"),
            ("max_insert_block_size", "1000"),
            ("min_insert_block_size_rows", "1000"),
            ("min_insert_block_size_bytes", "0"),
        ];
        assert_eq!(answer(server.post(&small, rows)).await, (200, String::new()));
        assert_eq!(server.sql(&format!("SELECT count() FROM {format}")).await, "200000");
        let blocks = server
            .sql(&format!("SELECT max(max_block_number) FROM system.parts WHERE table = '{format}'"))
            .await;
        assert_eq!(blocks == "1", is_whole, "{format}: {blocks} blocks");
    }
}

#[tokio::test]
async fn one_statement_at_a_time_under_an_id() {
    let server = server().await;
    let id = [("query_id", "the-one")];
    let endless = "SELECT sum(sleepEachRow(0.5)) FROM numbers(1000) SETTINGS max_block_size = 1";
    // Tries again when it meets the short statement below.
    let attempt = server.post(&id, endless);
    let running = tokio::spawn(async move {
        while answer(attempt.try_clone().unwrap()).await.1.starts_with("Code: 216. ") {}
    });
    eventually("the second is refused", || async {
        let (status, text) = answer(server.post(&id, "SELECT 1")).await;
        status == 500 && text.starts_with("Code: 216. ")
    })
    .await;
    server.sql("KILL QUERY WHERE query_id = 'the-one' SYNC").await;
    running.await.unwrap();
    assert_eq!(answer(server.post(&id, "SELECT 1")).await.0, 200);
}

/// An aggregate sends nothing by which a lost client would be noticed.
#[tokio::test]
async fn a_question_ends_when_its_client_leaves() {
    let server = server().await;
    for sql in [
        "SELECT sum(sleepEachRow(0.5)) FROM numbers(1000) SETTINGS max_block_size = 1, max_execution_time = 600",
        "SELECT number, repeat('sleepEachRow', 10) FROM numbers(100000000000) SETTINGS max_execution_time = 600",
    ] {
        let client = tokio::spawn(server.request("reader", &[], sql).send());
        eventually("it runs", || async { server.running("sleepEachRow").await == 1 }).await;
        client.abort();
        drop(client.await);
        eventually("it runs no more", || async { server.running("sleepEachRow").await == 0 }).await;
    }
}

#[tokio::test]
async fn half_an_insert_leaves_nothing() {
    let server = server().await;
    server.sql("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a").await;
    let address = server.stack.address();
    let password = server.password("writer");
    for length in ["Transfer-Encoding: chunked", "Content-Length: 10000000"] {
        let head = format!(
            "POST /?database={DATABASE}&async_insert=0&query=INSERT%20INTO%20t%20FORMAT%20TSV&query_id=half HTTP/1.1\r\n\
             Host: {address}\r\nX-ClickHouse-User: writer\r\nX-ClickHouse-Key: {password}\r\n{length}\r\n\r\n"
        );
        // ClickHouse begins once it has more than a statement could be long.
        let rows = "row\n".repeat(100_000);
        let body = if length.starts_with('T') { format!("{:x}\r\n{rows}\r\n", rows.len()) } else { rows };
        let stream = Mutex::new(None);
        let half = [("query_id", "half")];
        eventually("the insert runs", || async {
            if answer(server.post(&half, "SELECT 1")).await.1.starts_with("Code: 216") {
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
            answer(server.post(&half, "SELECT 1")).await.0 == 200
        })
        .await;
        assert_eq!(server.sql("SELECT count() FROM t").await, "0", "{length}");
    }
}

/// Failed in every way, by HTTP and the native protocol's own port too.
#[tokio::test]
async fn the_log_has_no_text_of_a_statement() {
    let server = server().await;
    server.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    for sql in [
        "SELECT canary",
        "SELEC canary",
        "SELECT throwIf(number = 100000, 'canary') FROM numbers(1000000) SETTINGS max_block_size = 1000",
        "SELECT 'canary' FROM file('/canary')",
        "INSERT INTO t FORMAT CSV\ncanary",
        "SELECT 1 FORMAT canary",
        "SELECT max(sleepEachRow(0.00003)), 'canary' FROM numbers(20000000) SETTINGS max_execution_time = 1",
    ] {
        for user in ["writer", "analyst"] {
            let response = server.request(user, &[("database", DATABASE)], sql).send().await.unwrap();
            // Cut short where the error comes in the middle.
            let _ = response.bytes().await;
        }
    }
    let log = std::fs::read_to_string(server.stack.process.log()).unwrap();
    assert!(!log.contains("canary"), "{log}");
}
