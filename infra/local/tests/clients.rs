//! Other people's clients against the server: a typed round trip, parameters, an error, a large streamed
//! result, a client that leaves in the middle. Each client is pinned by its own lock file.
//!
//! A client whose tool is not on this machine is skipped, and says so on standard error.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use clickhouse::{Compression, Row};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::support::{DATABASE, Server};

fn source(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(client)
}

/// A directory of a client, kept between runs, with copies of these of its files.
fn workspace(client: &str, files: &[&str]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(client);
    for file in files {
        let target = directory.join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(source(client).join(file), target).unwrap();
    }
    directory
}

fn has(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok()
        || Command::new(tool).arg("version").output().is_ok();
    if !there {
        // Past the test harness's capture: nobody shall take this for a pass.
        let _ = writeln!(
            std::io::stderr().lock(),
            "SKIPPED: the client test that needs {tool}, which is not installed"
        );
    }
    there
}

/// With a view for analysts.
async fn server() -> Server {
    let server = crate::support::server().await;
    server.sql("CREATE DATABASE eye").await;
    let view = "CREATE VIEW eye.numbers_of DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT arrayJoin([1, 2, 3])::UInt64 AS a";
    server.sql(view).await;
    server
}

fn run(command: &mut Command, server: Option<&Server>) {
    if let Some(server) = server {
        command
            .env("CLICKHOUSE_URL", server.stack.url())
            .env("CLICKHOUSE_ADDRESS", server.stack.address().to_string())
            .env("CLICKHOUSE_NATIVE", server.stack.native_address().to_string())
            .env("CLICKHOUSE_PASSWORD", server.password("writer"));
    }
    let output = command.output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
}

#[tokio::test]
async fn python_clickhouse_connect_and_clickhouse_driver() {
    if !has("python3") {
        return;
    }
    let directory = workspace("python", &["requirements.txt", "round_trip.py", "native.py"]);
    let python = directory.join("venv/bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(directory.join("venv")), None);
    }
    run(
        Command::new(&python)
            .args(["-m", "pip", "install", "-q", "-r", "requirements.txt"])
            .current_dir(&directory),
        None,
    );
    let server = server().await;
    for program in ["round_trip.py", "native.py"] {
        run(Command::new(&python).arg(program).current_dir(&directory), Some(&server));
    }
}

#[tokio::test]
async fn node_clickhouse_client() {
    if !has("node") || !has("npm") {
        return;
    }
    let directory = workspace("node", &["package.json", "package-lock.json", "round_trip.js"]);
    run(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&directory),
        None,
    );
    let server = server().await;
    run(Command::new("node").arg("round_trip.js").current_dir(&directory), Some(&server));
}

#[tokio::test]
async fn java_jdbc() {
    if !has("java") || !has("mvn") {
        return;
    }
    let directory = workspace("java", &["pom.xml", "src/main/java/RoundTrip.java"]);
    run(
        Command::new("mvn")
            .args(["-B", "-q", "compile", "dependency:copy-dependencies"])
            .current_dir(&directory),
        None,
    );
    let server = server().await;
    let mut java = Command::new("java");
    java.args(["-Xmx256m", "-cp", "target/classes:target/dependency/*", "RoundTrip"]).current_dir(&directory);
    run(&mut java, Some(&server));
}

#[tokio::test]
async fn go_clickhouse_go_http_and_native() {
    if !has("go") {
        return;
    }
    let directory = workspace("go", &["go.mod", "go.sum", "main.go"]);
    run(
        Command::new("go").args(["build", "-mod=readonly", "-o", "round_trip", "."]).current_dir(&directory),
        None,
    );
    let server = server().await;
    run(Command::new(directory.join("round_trip")).current_dir(&directory), Some(&server));
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Line {
    n: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    #[serde(with = "clickhouse::serde::time::datetime64::micros")]
    at: OffsetDateTime,
    tags: Vec<String>,
    kind: String,
    note: Option<String>,
    #[serde(with = "serde_bytes_like")]
    raw: Vec<u8>,
}

/// A String column holds any bytes.
mod serde_bytes_like {
    use serde::{Deserializer, Serializer, de::Visitor};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[tokio::test]
async fn rust_clickhouse() {
    let server = server().await;
    for compression in [Compression::None, Compression::Lz4] {
        let client = clickhouse::Client::default()
            .with_url(server.stack.url())
            .with_user("writer")
            .with_password(server.password("writer"))
            .with_database(DATABASE)
            .with_compression(compression);
        client.query("DROP TABLE IF EXISTS rust").execute().await.unwrap();
        let create = "CREATE TABLE rust (n UInt64, id UUID, at DateTime64(6, 'UTC'), tags Array(String), \
                      kind LowCardinality(String), note Nullable(String), raw String) ENGINE = MergeTree ORDER BY n";
        client.query(create).execute().await.unwrap();
        let at = |micros: i128| OffsetDateTime::from_unix_timestamp_nanos(micros * 1000).unwrap();
        let line = |n, micros, note: Option<&str>, raw: &[u8]| Line {
            n,
            id: Uuid::new_v4(),
            at: at(micros),
            tags: (0..n).map(|n| format!("é{n}")).collect(),
            kind: "x".into(),
            note: note.map(Into::into),
            raw: raw.into(),
        };
        let written =
            [line(0, 0, None, b""), line(3, 1_609_492_527_243_860, Some("a note"), b"nul\0\xff'\n")];
        let mut insert = client.insert::<Line>("rust").await.unwrap();
        for line in &written {
            insert.write(line).await.unwrap();
        }
        insert.end().await.unwrap();
        let query =
            client.query("SELECT ?fields FROM rust WHERE n >= {least:UInt64} ORDER BY n").param("least", 0);
        assert_eq!(query.fetch_all::<Line>().await.unwrap(), written);

        let error = client.query("SELECT bad").fetch_one::<u8>().await.unwrap_err().to_string();
        assert!(error.contains("Code: 47"), "{error}");
        let mut cursor = client
            .query("SELECT throwIf(number = 500000), number FROM numbers(1000000) SETTINGS max_block_size = 10000")
            .fetch::<(u8, u64)>()
            .unwrap();
        let error = loop {
            match cursor.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an error in the middle was taken for the end"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("Code: 395"), "{error}");

        let mut cursor = client.query("SELECT number FROM numbers(2000000)").fetch::<u64>().unwrap();
        let (mut count, mut sum) = (0, 0);
        while let Some(number) = cursor.next().await.unwrap() {
            (count, sum) = (count + 1, sum + number);
        }
        assert_eq!((count, sum), (2_000_000, 1_999_999_000_000_u64));
        let mut cursor = client.query("SELECT number FROM numbers(1000000000)").fetch::<u64>().unwrap();
        assert!(cursor.next().await.unwrap().is_some());
        drop(cursor);
        assert_eq!(client.query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);

        let analyst = clickhouse::Client::default().with_url(server.stack.url()).with_user("analyst");
        let analyst = analyst.with_database("eye").with_compression(compression);
        let query = analyst.query("SELECT a FROM numbers_of WHERE a = {a:UInt64}").param("a", 2);
        assert_eq!(query.fetch_one::<u64>().await.unwrap(), 2);
        let error = analyst.query("SELECT * FROM eye_test.rust").fetch_one::<u8>().await.unwrap_err();
        assert!(error.to_string().contains("Code: 497"), "{error}");
    }
}

#[tokio::test]
async fn curl() {
    if !has("curl") {
        return;
    }
    let server = server().await;
    let script = r#"
        set -eu
        ask() { curl -sS --fail-with-body "$@"; }
        write() { ask -u "writer:$CLICKHOUSE_PASSWORD" "$@"; }
        test_db="$CLICKHOUSE_URL/?database=eye_test"
        write "$test_db" -d "CREATE TABLE curl (a UInt64, b String) ENGINE = MergeTree ORDER BY a"
        printf 'INSERT INTO curl FORMAT CSV\n1,"x"\n2,"y"\n' | write "$test_db" --data-binary @-
        printf '3\tz\n' | gzip | write "$test_db&query=INSERT%20INTO%20curl%20FORMAT%20TSV" -H 'Content-Encoding: gzip' --data-binary @-
        test "$(write "$test_db&param_b=y" -d 'SELECT a FROM curl WHERE b = {b:String}')" = 2
        test "$(write "$test_db" -F 'query=SELECT sum(a) FROM curl WHERE a > {a:UInt64}' -F param_a=1)" = 5
        analyst="$CLICKHOUSE_URL/?user=analyst"
        test "$(ask "$analyst&query=SELECT%20sum(a)%20FROM%20eye.numbers_of")" = 6
        test "$(ask "$analyst" -d 'SELECT number FROM numbers(2000000)' | wc -l)" = 2000000
        test "$(curl -sS -o /dev/null -w '%{http_code}' "$analyst" -d 'SELECT bad')" = 404
        ! ask "$analyst" -d 'SELECT throwIf(number = 900000) FROM numbers(1000000)' > /dev/null
        (ask "$analyst" -d 'SELECT number FROM numbers(1000000000)' || true) 2> /dev/null | head -1 | grep -q 0
        test "$(ask "$CLICKHOUSE_URL/ping")" = Ok.
    "#;
    run(Command::new("bash").args(["-c", script]), Some(&server));
}
