//! Things that a user may not do, and things that nobody may use up. ClickHouse refuses, by the users of production.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{DATABASE, Server, answer, eventually, server};

/// Runs for a minute, in blocks of two seconds.
const SLOW: &str = "SELECT max(sleepEachRow(0.00003)) FROM numbers(20000000)";

/// As the projector makes them: tables of a generation, and views over it that read with the writer's rights.
async fn with_views() -> Server {
    let server = server().await;
    for sql in [
        "CREATE DATABASE eye",
        "CREATE DATABASE eye_g1",
        "CREATE TABLE eye_g1.events (a UInt64) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO eye_g1.events SETTINGS async_insert = 0 VALUES (1), (2)",
        "CREATE VIEW eye.events DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT a FROM eye_g1.events",
    ] {
        server.sql(sql).await;
    }
    server
}

#[tokio::test]
async fn an_analyst_reads_the_views_of_eye_and_nothing_else() {
    let server = with_views().await;
    assert_eq!(server.analyst(&[], "SELECT sum(a) FROM eye.events").await, (200, "3\n".into()));
    assert_eq!(server.analyst(&[("database", "eye")], "SHOW TABLES").await, (200, "events\n".into()));
    for sql in [
        "SELECT * FROM eye_g1.events",
        "EXPLAIN SELECT * FROM eye_g1.events",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.server_settings",
        "SELECT * FROM system.users",
        "SHOW PROCESSLIST",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM executable('cat', TSV, 'a String')",
        "CREATE TABLE eye.t (a UInt8) ENGINE = Memory",
        "CREATE FUNCTION f AS x -> x",
        "DROP FUNCTION file",
        "DROP VIEW eye.events",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP LISTEN HTTP",
        "KILL QUERY WHERE 1",
        "CREATE USER x",
    ] {
        assert_eq!(server.error("analyst", &[], sql).await, 497, "{sql}");
    }
    let indirect = [("param_d", "system"), ("param_t", "processes")];
    assert_eq!(server.error("analyst", &indirect, "SELECT * FROM {d:Identifier}.{t:Identifier}").await, 497);
    assert_eq!(server.error("analyst", &[("database", "system")], "SELECT * FROM processes").await, 497);
}

/// clickhouse-local is a program for one person, who may read every file. Here nobody may, by any way.
#[tokio::test]
async fn no_statement_reads_or_writes_a_file() {
    let server = with_views().await;
    let secret = server.stack.password_file("reader");
    let path = secret.display().to_string();
    let written = secret.with_file_name("written");
    for user in ["analyst", "reader", "writer"] {
        for sql in [
            "SELECT file('{}')",
            "SELECT file\u{a0}('{}')",
            "SELECT file//\n('{}')",
            "SELECT file/* /* */ */('{}')",
            r"SELECT `fi\x6ce`('{}')",
            "SELECT file('{}', 'x')",
            "SELECT * APPLY(file) FROM (SELECT '{}')",
            "SELECT COLUMNS('.*') APPLY(x -> file(x)) FROM (SELECT '{}' AS a)",
            "SELECT arrayMap(x -> file(x), ['{}'])",
            "WITH (x -> file(x)) AS f SELECT f('{}')",
            "SELECT * FROM format(Values, 'a String', $$(file('{}'))$$)",
            "SELECT * FROM values('a String', file('{}'))",
            "SELECT * FROM format(CSV, 'a String', file('{}'))",
            "SELECT * FROM view(SELECT file('{}'))",
            "SELECT 1 WHERE file('{}') != ''",
            "SELECT file(materialize('{}')) FROM numbers(3)",
            "SELECT file('{}') SETTINGS enable_analyzer = 0",
            "SELECT * APPLY(file) FROM (SELECT '{}') SETTINGS enable_analyzer = 0",
            "SELECT * FROM file('{}', 'LineAsString')",
            "DESCRIBE TABLE file('{}', 'CSV')",
            "SELECT * FROM filesystem('{}')",
            "SELECT * FROM sqlite('{}', 'x')",
            "SELECT * FROM '{}'",
            "SELECT * FROM default.`{}`",
            "SELECT 1 FORMAT Template SETTINGS format_template_row = '{}'",
            "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '{}'",
            "SELECT 1 FORMAT Protobuf SETTINGS format_schema = '{}:x'",
        ] {
            let sql = sql.replace("{}", &path);
            let (status, text) = answer(server.request(user, &[], sql.clone())).await;
            assert_ne!(status, 200, "{user}: {sql}: {text}");
            assert!(!text.contains(&server.password("reader")), "{user}: {sql}: {text}");
        }
        for sql in [
            "SELECT 'x' INTO OUTFILE '{}'",
            "SELECT 'x' INTO\u{a0}OUTFILE '{}' APPEND FORMAT TSVRaw",
            "INSERT INTO FUNCTION file('{}') SELECT 1",
            "CREATE TABLE eye.t (a String) ENGINE = File(CSV, '{}')",
            "BACKUP DATABASE eye TO File('{}')",
            "SELECT 1 FORMAT Protobuf SETTINGS output_format_schema = '{}'",
        ] {
            let sql = sql.replace("{}", &written.display().to_string());
            let (status, text) = answer(server.request(user, &[], sql.clone())).await;
            assert_ne!(status, 200, "{user}: {sql}: {text}");
            assert!(!written.exists(), "{user}: {sql}");
        }
    }
}

/// A web page can have a browser send what it likes to this machine. DNS rebinding makes the answers its own, too;
/// then the browser sends the page's name.
#[tokio::test]
async fn a_web_page_gets_nothing() {
    let server = with_views().await;
    let get = "SELECT count() FROM eye.events";
    for host in ["x.evil", "127.0.0.1.evil:8123", "localhost.evil", "x127.0.0.1"] {
        let (status, text) = answer(server.request("analyst", &[], get).header("Host", host)).await;
        assert_eq!(status, 404, "{host}: {text}");
    }
    for host in ["127.0.0.1:8123", "localhost:8123", "[::1]:8123"] {
        let (status, text) = answer(server.request("analyst", &[], get).header("Host", host)).await;
        assert_eq!(status, 200, "{host}: {text}");
    }
    for (setting, value) in
        [("add_http_cors_header", "1"), ("http_response_headers", "{'Access-Control-Allow-Origin': '*'}")]
    {
        assert_eq!(server.error("analyst", &[(setting, value)], get).await, 164, "{setting}");
    }
    let response =
        server.request("analyst", &[], get).header("Origin", "http://x.evil").send().await.unwrap();
    assert!(response.headers().get("access-control-allow-origin").is_none(), "{:?}", response.headers());
}

#[tokio::test]
async fn nobody_becomes_another_user() {
    let server = with_views().await;
    let session = [("session_id", "s")];
    for sql in
        ["SET ROLE default", "SET ROLE writer", "SET \u{a0}ROLE writer", "SET DEFAULT ROLE writer TO analyst"]
    {
        server.analyst(&session, sql).await;
    }
    for sql in [
        "INSERT INTO eye_g1.events VALUES (3)",
        "WITH x AS (SELECT 1) INSERT INTO eye_g1.events SELECT 3",
        "EXECUTE AS writer INSERT INTO eye_g1.events SELECT 3",
    ] {
        for parameters in
            [&session[..], &[("session_id", "s"), ("default_format", "JSON")], &[("role", "writer")]]
        {
            let (status, text) = server.analyst(parameters, sql).await;
            assert_ne!(status, 200, "{sql}: {text}");
        }
    }
    assert_eq!(server.sql("SELECT count() FROM eye_g1.events").await, "2");
    for (user, password) in [("writer", ""), ("reader", ""), ("analyst", "x"), ("nobody", "")] {
        let (_, text) = answer(server.request_with(user, password, &[], "SELECT 1")).await;
        assert!(text.starts_with("Code: 516. "), "{user}: {text}");
    }
    // The first packet of the native protocol: a refused client must not end the server.
    let mut native = TcpStream::connect(server.stack.native_address()).unwrap();
    native.write_all(b"\0\x05probe\x18\x08\xc6\xa9\x03\0\x06nobody\0").unwrap();
    let mut refused = Vec::new();
    native.read_to_end(&mut refused).unwrap();
    assert!(String::from_utf8_lossy(&refused).contains("Authentication failed"), "{refused:?}");
    assert_eq!(server.sql("SELECT count() FROM eye_g1.events").await, "2");
    // The user that runs the engine's own statements has no password: it may connect once only.
    assert_eq!(server.error("default", &[], "SELECT 1").await, 700);
}

#[tokio::test]
async fn limits_are_not_lifted_by_settings_sessions_or_urls() {
    let server = with_views().await;
    let all: &[&str] = &["analyst"];
    let both: &[&str] = &["analyst", "reader"];
    for (users, name, value) in [
        (both, "max_execution_time", "0"),
        (both, "max_execution_time", "1000"),
        (both, "max_memory_usage", "0"),
        (both, "max_memory_usage", "100000000000"),
        (all, "max_memory_usage_for_user", "0"),
        (all, "max_threads", "1000"),
        (all, "max_result_rows", "0"),
        (all, "max_result_bytes", "0"),
        (all, "result_overflow_mode", "break"),
        (all, "timeout_overflow_mode", "break"),
        (all, "max_concurrent_queries_for_user", "0"),
        (all, "max_sessions_for_user", "0"),
        (both, "readonly", "0"),
        (all, "profile", "eye_writer"),
        (all, "compatibility", "19.1"),
    ] {
        for user in users {
            let code = server.error(user, &[(name, value)], "SELECT 1").await;
            assert!(code == 164 || code == 452, "{user} {name} by URL: {code}");
            if name != "profile" && name != "readonly" {
                let sql = format!("SELECT 1 SETTINGS {name} = '{value}'");
                let code = server.error(user, &[], &sql).await;
                assert!(code == 164 || code == 452, "{user} {sql}: {code}");
            }
            let session = [("session_id", name)];
            let code = server.error(user, &session, &format!("SET {name} = '{value}'")).await;
            assert!(code == 164 || code == 452, "{user} {name} in a session: {code}");
        }
    }
    // Lower is fine, and in force.
    assert_eq!(server.error("analyst", &[("max_execution_time", "1")], SLOW).await, 159);
    let hungry = "SELECT length(groupArray(number)) FROM numbers(2000000000)";
    assert_eq!(server.error("analyst", &[("max_execution_time", "60")], hungry).await, 241);
    assert_eq!(
        server.error("analyst", &[("max_result_rows", "10")], "SELECT number FROM numbers(1000)").await,
        396
    );
}

/// Whatever an analyst holds open, the others get their turn.
#[tokio::test]
async fn an_analyst_uses_up_nothing_of_the_others() {
    let server = with_views().await;
    let address = server.stack.address();
    let slow: Vec<_> = (0..30).map(|_| tokio::spawn(server.request("analyst", &[], SLOW).send())).collect();
    eventually("as many as may run", || async { server.running("sleepEachRow").await == 16 }).await;
    assert_eq!(server.error("analyst", &[], "SELECT 1").await, 202);
    let head = format!(
        "POST /?user=analyst&query=SELECT+1 HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1000000\r\n\r\n"
    );
    let unfinished: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    for number in 0..200 {
        server.analyst(&[("session_id", &format!("s{number}")), ("session_timeout", "60")], "SELECT 1").await;
    }
    for (user, database) in [("reader", "eye_g1"), ("writer", DATABASE)] {
        for _ in 0..50 {
            let session = [("session_id", "mine"), ("database", database)];
            assert_eq!(answer(server.request(user, &session, "SELECT 1")).await, (200, "1\n".into()));
        }
    }
    drop(unfinished);
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}
