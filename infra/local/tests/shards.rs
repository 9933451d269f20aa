//! Two servers as the shards of a cluster: what each user may, and what one of them can suffer.

use std::process::Command;

use local_stack::supervise::Restart;
use local_stack::{ClickHouse, ClickHouseOptions, Port, Stack, StackOptions};

use crate::support::{Server, answer, eventually, shards};

/// On each shard as the projector makes them: rows, the table over all shards, a view over that.
const TABLES: [&str; 6] = [
    "CREATE DATABASE eye",
    "CREATE DATABASE eye_g1",
    "CREATE DATABASE eye_g1_local",
    "CREATE TABLE eye_g1_local.events (a UInt64) ENGINE = MergeTree ORDER BY a",
    "CREATE TABLE eye_g1.events AS eye_g1_local.events ENGINE = Distributed('eye', 'eye_g1_local', 'events', intDiv(a, 1))",
    "CREATE VIEW eye.events DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT a FROM eye_g1.events",
];

async fn ask(server: &Server, shard: &ClickHouse, user: &str, sql: &str) -> (u16, String) {
    let foreground = [("distributed_foreground_insert", "1")];
    let parameters: &[(&str, &str)] = if user == "writer" { &foreground } else { &[] };
    answer(server.request_to(shard, user, &server.password(user), parameters).body(sql.to_owned())).await
}

async fn tell(server: &Server, shard: &ClickHouse, sql: &str) {
    assert_eq!(ask(server, shard, "writer", sql).await, (200, String::new()), "{sql}");
}

async fn with_tables() -> Server {
    let server = shards(2).await;
    for shard in server.stack.shards() {
        for sql in TABLES {
            tell(&server, shard, sql).await;
        }
    }
    server
}

#[tokio::test]
async fn every_shard_answers_for_all_and_an_analyst_by_views_only() {
    let server = with_tables().await;
    for (shard, insert) in server.stack.shards().zip(["VALUES (0), (1), (2)", "VALUES (3), (4)"]) {
        tell(&server, shard, &format!("INSERT INTO eye_g1.events {insert}")).await;
    }
    for (shard, here) in server.stack.shards().zip(["0,2,4", "1,3"]) {
        let local = "SELECT arrayStringConcat(arraySort(groupArray(a)), ',') FROM eye_g1_local.events";
        assert_eq!(ask(&server, shard, "writer", local).await, (200, format!("{here}\n")));
        for (user, table) in
            [("writer", "eye_g1.events"), ("reader", "eye_g1.events"), ("analyst", "eye.events")]
        {
            let sum = format!("SELECT count(), sum(a) FROM {table}");
            assert_eq!(ask(&server, shard, user, &sum).await, (200, "5\t10\n".into()), "{user}");
        }
        for sql in [
            "SELECT a FROM eye_g1.events",
            "SELECT a FROM eye_g1_local.events",
            "SELECT a FROM eye.events WHERE a IN (SELECT a FROM eye_g1_local.events)",
            "SELECT a FROM eye.events WHERE a IN eye_g1_local.events",
            "SELECT a FROM eye.events WHERE a = (SELECT max(elapsed) FROM system.processes)",
            "SELECT a FROM eye.events WHERE hasColumnInTable('eye_g1_local', 'events', 'a')",
            "SELECT a FROM cluster('eye', eye_g1_local, events)",
            "SELECT a FROM clusterAllReplicas('eye', eye_g1_local, events)",
        ] {
            let (status, text) = ask(&server, shard, "analyst", sql).await;
            assert!(status != 200 && text.starts_with("Code: 497. "), "{sql}: {text}");
        }
    }
}

/// The services need settings for such statements (`ClickHouseConfig::client`). An analyst, who reads views, does not.
#[tokio::test]
async fn an_analyst_asks_for_times_and_by_subqueries() {
    let server = with_tables().await;
    for shard in server.stack.shards() {
        for sql in [
            "CREATE TABLE eye_g1_local.times (a UInt64, at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY a",
            "CREATE TABLE eye_g1.times AS eye_g1_local.times ENGINE = Distributed('eye', 'eye_g1_local', 'times', intDiv(a, 1))",
            "CREATE VIEW eye.times DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT a, at FROM eye_g1.times",
        ] {
            tell(&server, shard, sql).await;
        }
    }
    for shard in server.stack.shards() {
        let rows = "INSERT INTO eye_g1.times SELECT number, toDateTime64('2024-03-01', 6, 'UTC') + number FROM numbers(9)";
        tell(&server, shard, rows).await;
    }
    for shard in server.stack.shards() {
        for sql in [
            "WITH toDateTime64('2024-03-01', 6, 'UTC') AS since SELECT count() FROM \
             (SELECT at, at + INTERVAL 1 SECOND AS after FROM eye.times LIMIT 1 BY a, at) WHERE after > since AND at >= since",
            "SELECT count() / 2 FROM eye.times WHERE at >= '2024-03-01' AND a IN (SELECT a FROM eye.times)",
        ] {
            let (status, text) = ask(&server, shard, "analyst", sql).await;
            assert_eq!((status, text.trim()), (200, "9"), "{sql}");
        }
    }
}

/// A statement runs on the other shard as `writer`, yet within the limits of the user who asked.
#[tokio::test]
async fn an_analysts_limits_go_along() {
    let server = with_tables().await;
    let [here, there] = server.stack.shards().collect::<Vec<_>>()[..] else { panic!("two shards") };
    let slow = format!(
        "CREATE VIEW eye.slow DEFINER = CURRENT_USER SQL SECURITY DEFINER \
         AS SELECT sleepEachRow(if(tcpPort() = {}, 0.5, 0)) AS s FROM eye_g1.events",
        there.native_address().port()
    );
    for shard in [here, there] {
        tell(&server, shard, &slow).await;
    }
    tell(&server, here, "INSERT INTO eye_g1.events SELECT number FROM numbers(12)").await;
    let limit = [("max_execution_time", "2"), ("query_id", "slow")];
    let request = server.request_to(here, "analyst", "", &limit).body("SELECT sum(s) FROM eye.slow");
    let answer = tokio::spawn(answer(request));
    let limits = "SELECT user, initial_user, Settings['readonly'], Settings['max_execution_time'], \
                  Settings['max_memory_usage'] FROM system.processes WHERE initial_query_id = 'slow'";
    let expected = "writer\tanalyst\t1\t2\t4000000000\n";
    eventually("its part runs there", || async {
        ask(&server, there, "writer", limits).await == (200, expected.into())
    })
    .await;
    let (status, text) = answer.await.unwrap();
    assert!(status != 200 && text.contains("Code: 159. "), "{status} {text}");
    eventually("its part has ended", || async {
        ask(&server, there, "writer", limits).await == (200, String::new())
    })
    .await;
}

#[tokio::test]
async fn a_stranger_is_no_shard() {
    let server = with_tables().await;
    tell(&server, &server.stack, "INSERT INTO eye_g1.events VALUES (0), (1)").await;
    let [http, native] = [0; 2].map(|port| Port::claim(port, "", "").unwrap());
    let victim = server.stack.native_address().port();
    let directory = tempfile::tempdir().unwrap();
    let mut stranger = Command::new(env!("CARGO_BIN_EXE_clickhouse-local-server"));
    stranger.arg("--path").arg(directory.path().join("clickhouse")).arg("--passwords").arg(directory.path());
    stranger.args(["--shards", &format!("{victim},{}", native.number())]);
    stranger.args(["--port", &http.number().to_string(), "--native-port", &native.number().to_string()]);
    let spec = local_stack::supervise::Spec {
        name: "a stranger".into(),
        command: stranger,
        log: directory.path().join("log"),
        ready: local_stack::Ready::Http(([127, 0, 0, 1], http.number()).into(), "/ping".into()),
        restart: Restart::Never,
        grace: std::time::Duration::from_secs(20),
        on_event: StackOptions::default().on_event,
    };
    let stranger = local_stack::Supervised::spawn(spec).unwrap();
    stranger.ready(local_stack::START).await.unwrap();
    let password = std::fs::read_to_string(directory.path().join("writer.password")).unwrap();
    let url = format!("http://127.0.0.1:{}", http.number());
    let client = clickhouse::Client::default().with_url(url).with_user("writer").with_password(password);
    for sql in TABLES {
        client.query(sql).execute().await.unwrap();
    }
    let refused = client.query("SELECT count() FROM eye_g1.events").fetch_one::<u64>().await.unwrap_err();
    assert!(refused.to_string().contains("Code: 516. "), "{refused}");
    let count = ask(&server, &server.stack, "reader", "SELECT count() FROM eye_g1.events").await;
    assert_eq!(count, (200, "2\n".into()), "the others go on");
}

#[tokio::test]
async fn a_shard_comes_back_also_without_its_data() {
    let server = with_tables().await;
    let [here, there] = server.stack.shards().collect::<Vec<_>>()[..] else { panic!("two shards") };
    let count = "SELECT count() FROM eye_g1.events";
    tell(&server, here, "INSERT INTO eye_g1.events VALUES (0), (1)").await;

    there.process.kill().await;
    for (user, sql) in [("reader", count), ("writer", "INSERT INTO eye_g1.events VALUES (3)")] {
        let (status, text) = ask(&server, here, user, sql).await;
        assert!(status != 200 && text.starts_with("Code: 279. "), "{sql}: {text}");
    }
    there.process.start();
    server.stack.ready().await.unwrap();
    assert_eq!(ask(&server, here, "reader", count).await, (200, "2\n".into()));

    there.process.kill().await;
    std::fs::remove_dir_all(there.data()).unwrap();
    there.process.start();
    server.stack.ready().await.unwrap();
    let (status, text) = ask(&server, here, "reader", count).await;
    assert!(status != 200 && text.contains("There is no table"), "{text}");
    for sql in TABLES {
        tell(&server, there, sql).await;
    }
    assert_eq!(ask(&server, here, "reader", count).await, (200, "1\n".into()));
    tell(&server, here, "INSERT INTO eye_g1.events VALUES (1)").await;
    assert_eq!(ask(&server, there, "reader", count).await, (200, "2\n".into()));
}

#[tokio::test]
async fn kept_data_stays_on_its_number_of_shards() {
    let data = tempfile::tempdir().unwrap();
    let start = |shards| {
        let clickhouse = ClickHouseOptions { shards, ..ClickHouseOptions::default() };
        Stack::start(StackOptions { data: Some(data.path().into()), clickhouse, ..StackOptions::default() })
    };
    start(2).await.unwrap().stop().await;
    let error = start(3).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("2 shards, not 3") && error.lines().count() == 1, "{error}");
    start(2).await.unwrap().stop().await;
}
