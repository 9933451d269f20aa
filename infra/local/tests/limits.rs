//! What a user may not do, and what nobody may use up.

use crate::support::{server, server_with};

const ANALYST: (&str, &str) = ("user", "analyst");

#[tokio::test]
async fn an_analyst_reads_the_views_of_eye_and_nothing_else() {
    let server = server().await;
    server.sql("CREATE DATABASE eye").await;
    server.sql("CREATE DATABASE eye_g1").await;
    server.sql("CREATE TABLE eye_g1.events (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    server.sql("INSERT INTO eye_g1.events VALUES (1), (2)").await;
    server.sql("CREATE VIEW eye.events DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT a FROM eye_g1.events").await;
    let (status, text) = server.try_sql(&[ANALYST], "SELECT sum(a) FROM eye.events").await;
    assert_eq!((status, text.as_str()), (200, "3\n"), "views read for their makers");
    assert_eq!(
        server.try_sql(&[ANALYST, ("database", "eye")], "SHOW TABLES").await,
        (200, "events\n".into())
    );
    for sql in [
        "SELECT * FROM eye_g1.events",
        "EXPLAIN SELECT * FROM eye_g1.events",
        "SELECT * FROM merge('eye_g1', 'events')",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.server_settings",
        "SHOW PROCESSLIST",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM executable('cat', TSV, 'a String')",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "INSERT INTO eye_g1.events VALUES (3)",
        "INSERT INTO FUNCTION file('/tmp/x') SELECT 1",
        "CREATE TABLE eye.t (a UInt8) ENGINE = Memory",
        "DROP VIEW eye.events",
        "SYSTEM SHUTDOWN",
        "KILL QUERY WHERE 1",
        "SELECT 1 SETTINGS profile = 'default'",
        "SET ROLE default",
    ] {
        assert_eq!(server.error(&[ANALYST], sql).await, 497, "{sql}");
    }
    let indirect = [ANALYST, ("param_d", "system"), ("param_t", "processes")];
    assert_eq!(server.error(&indirect, "SELECT * FROM {d:Identifier}.{t:Identifier}").await, 497);
    assert_eq!(server.error(&[ANALYST, ("database", "system")], "SELECT * FROM processes").await, 497);
    for name in ["role", "profile", "readonly"] {
        assert_eq!(server.error(&[ANALYST, (name, "default")], "SELECT 1").await, 497, "{name}");
    }
}

#[tokio::test]
async fn a_writer_cannot_leave_the_server() {
    let server = server().await;
    for sql in [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "CREATE TABLE t (a String) ENGINE = URL('http://127.0.0.1:1/', 'LineAsString')",
        "CREATE TABLE t (a String) ENGINE = File(CSV, '/etc/passwd')",
        "CREATE TABLE t (a String) ENGINE = Executable('cat', TSV)",
        "INSERT INTO FUNCTION file('/tmp/x') SELECT 1",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SYSTEM SHUTDOWN",
        "BACKUP DATABASE default TO File('/tmp/x')",
        "CREATE USER x",
    ] {
        assert_eq!(server.error(&[], sql).await, 497, "{sql}");
    }
    assert_eq!(server.sql("SELECT 1").await, "1", "it still answers");
}

#[tokio::test]
async fn time_and_memory_are_limited_and_can_only_be_lowered() {
    let server = server_with(&["--max-seconds", "5", "--max-memory", "200000000"]).await;
    let endless = "SELECT sum(sleepEachRow(0.1)) FROM numbers(3000) SETTINGS max_block_size = 1";
    assert_eq!(server.error(&[], endless).await, 159, "by the server's limit");
    assert_eq!(server.error(&[("max_execution_time", "1")], endless).await, 159, "by its own");
    let hungry = "SELECT length(groupArray(number)) FROM numbers(100000000)";
    assert_eq!(server.error(&[], hungry).await, 241);
    for (setting, value) in [
        ("max_execution_time", "0"),
        ("max_execution_time", "6"),
        ("max_memory_usage", "0"),
        ("max_memory_usage", "200000001"),
    ] {
        assert_eq!(server.error(&[(setting, value)], "SELECT 1").await, 452, "{setting} = {value}");
        let sql = format!("SELECT 1 SETTINGS {setting} = {value}");
        assert_eq!(server.error(&[], &sql).await, 452, "{sql}");
    }
}

#[tokio::test]
async fn a_full_server_says_so() {
    let server = server_with(&["--max-statements", "1", "--max-wait-seconds", "0"]).await;
    let endless = "SELECT sum(sleepEachRow(0.1)) FROM numbers(3000) SETTINGS max_block_size = 1";
    // Tries again when it meets the short statement below.
    let attempt = server.post(&[], endless);
    let busy = tokio::spawn(async move {
        while attempt.try_clone().unwrap().send().await.is_ok_and(|response| response.status() == 503) {}
    });
    crate::support::eventually("another is refused", || async {
        let (status, text) = server.try_sql(&[], "SELECT 1").await;
        status == 503 && text.starts_with("Code: 202. ")
    })
    .await;
    busy.abort();
    crate::support::eventually("there is room again", || async {
        server.try_sql(&[], "SELECT 1").await.0 == 200
    })
    .await;
}
