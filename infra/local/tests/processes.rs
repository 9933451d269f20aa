//! Supervision: restarts with backoff, no orphans, clear words.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use local_stack::supervise::{Event, Restart, Spec, State};
use local_stack::{KafkaAlone, Port, Ready, Stack, StackOptions, Supervised};

use crate::support::{eventually, server};

fn spawn(script: &str, restart: Restart) -> (Supervised, Arc<Mutex<Vec<String>>>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let spec = Spec {
        name: "it".into(),
        command,
        log: dir.path().join("it.log"),
        ready: Ready::Started,
        restart,
        grace: Duration::from_secs(2),
        on_event: Arc::new(move |event: &Event| heard.lock().unwrap().push(event.to_string())),
    };
    (Supervised::spawn(spec).unwrap(), events, dir)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_process_that_dies_is_started_again_and_the_terminal_says_so() {
    let (it, events, _dir) = spawn("exec sleep 1000", Restart::Backoff);
    it.ready(PATIENCE).await.unwrap();
    let first = it.pid().unwrap();
    // As if from outside.
    assert!(Command::new("kill").args(["-9", &first.to_string()]).status().unwrap().success());
    eventually("a new process", || async { it.pid().is_some_and(|pid| pid != first) }).await;
    let died = events.lock().unwrap().iter().any(|line| {
        line.starts_with("it died (signal: 9 (SIGKILL)): starting it again in 200.0ms")
            && line.contains("it.log")
    });
    assert!(died, "{:?}", events.lock().unwrap());
    it.kill().await;
    assert_eq!(it.state(), State::Down);
    it.start();
    it.ready(PATIENCE).await.unwrap();
    it.stop().await;
    assert_eq!(it.state(), State::Down);
}

#[tokio::test]
async fn a_process_without_restarts_stays_down_and_its_last_words_are_told() {
    let (it, events, _dir) = spawn("echo these are the last words; exit 3", Restart::Never);
    eventually("it ends", || async { events.lock().unwrap().iter().any(|line| line.contains("died")) }).await;
    let error = format!("{:#}", it.ready(PATIENCE).await.unwrap_err());
    assert!(error.contains("exit status: 3") && error.contains("these are the last words"), "{error}");
}

/// A backtrace is longer than what is told of a log.
#[tokio::test]
async fn why_it_died_is_told_and_not_its_backtrace() {
    let script = "echo 'Error: why it died'; echo; echo 'Caused by:'; echo '    0: a cause'; echo; \
                  echo 'Stack backtrace:'; for n in $(seq 200); do echo \"  $n: frame\"; echo '    at file.rs'; done; exit 1";
    let (it, events, _dir) = spawn(script, Restart::Never);
    eventually("it ends", || async { events.lock().unwrap().iter().any(|line| line.contains("died")) }).await;
    let error = format!("{:#}", it.ready(PATIENCE).await.unwrap_err());
    assert!(error.contains("why it died") && error.contains("0: a cause"), "{error}");
    assert!(!error.contains("frame"), "{error}");
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed() {
    let (it, _, _dir) = spawn("trap '' TERM; while true; do sleep 0.1; done", Restart::Never);
    it.ready(PATIENCE).await.unwrap();
    it.stop().await;
    assert_eq!(it.state(), State::Down);
}

#[tokio::test]
async fn a_paused_process_can_be_stopped() {
    let (it, _, _dir) = spawn("exec sleep 1000", Restart::Never);
    it.ready(PATIENCE).await.unwrap();
    it.pause();
    let status = format!("/proc/{}/status", it.pid().unwrap());
    eventually("it stands still", || async {
        std::fs::read_to_string(&status).unwrap().contains("State:\tT")
    })
    .await;
    it.stop().await;
    assert_eq!(it.state(), State::Down);
}

/// The whole stack as a program: its parent is killed with SIGKILL, and nothing is left.
#[tokio::test]
async fn a_killed_parent_leaves_no_orphan() {
    let mut parent = Command::new(env!("CARGO_BIN_EXE_local-stack"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let data =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("data ").map(str::to_owned)).unwrap();
    let children = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&data)).count()
    };
    assert_eq!(children(), 2, "Kafka and ClickHouse run");
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("both are gone", || async { children() == 0 }).await;
}

#[tokio::test]
async fn kafka_survives_kill_dash_nine_on_its_port() {
    let kafka = KafkaAlone::start(StackOptions::default()).await.unwrap();
    let address = kafka.address();
    kafka.process.kill().await;
    kafka.process.start();
    kafka.process.ready(local_stack::START).await.unwrap();
    assert_eq!(kafka.address(), address);
}

#[test]
fn an_occupied_port_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (program, option) in [
        (env!("CARGO_BIN_EXE_local-stack"), ["--kafka-port".to_owned(), port.clone()]),
        (env!("CARGO_BIN_EXE_clickhouse-local-server"), ["--port".to_owned(), port.clone()]),
        (env!("CARGO_BIN_EXE_clickhouse-local-server"), ["--native-port".to_owned(), port.clone()]),
    ] {
        let output = Command::new(program).args(&option).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        let line =
            error.lines().find(|line| line.contains("is occupied")).unwrap_or_else(|| panic!("{error}"));
        assert!(line.contains(&port) && line.contains(&option[0]), "{line}");
    }
}

#[tokio::test]
async fn a_second_server_on_one_directory_is_refused_in_one_line() {
    let server = server().await;
    server.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let directory = server.stack.data().to_owned();
    let ports = [Port::claim(0, "", "").unwrap(), Port::claim(0, "", "").unwrap()];
    let mut second = Command::new(env!("CARGO_BIN_EXE_clickhouse-local-server"));
    second.arg("--path").arg(&directory);
    second.args(["--port", &ports[0].number().to_string(), "--native-port", &ports[1].number().to_string()]);
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let line = format!("clickhouse-local-server: {} is in use by another server", directory.display());
    assert!(error.starts_with(&line) && error.lines().count() == 1, "{error}");
    assert_eq!(server.sql("SELECT count() FROM t").await, "0", "the first goes on");
}

/// Whoever else has an account on this machine.
#[tokio::test]
async fn only_the_owner_reads_data_and_logs() {
    let kept = tempfile::tempdir().unwrap();
    let data = kept.path().join("data");
    let options = StackOptions { data: Some(data.clone()), ..StackOptions::default() };
    let stack = Stack::start(options).await.unwrap();
    assert_eq!(data.metadata().unwrap().mode() & 0o777, 0o700);
    let mut directories = vec![data];
    let mut logs = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            // Nobody reads a process that has ended meanwhile.
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let mode = metadata.mode() & 0o777;
            if metadata.is_dir() {
                assert_eq!(mode, 0o700, "{}", path.display());
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log" || extension == "password")
            {
                assert_eq!(mode, 0o600, "{}", path.display());
                logs += 1;
            }
        }
    }
    assert!(logs >= 4, "{logs}: two logs and two passwords at least");
    stack.stop().await;
}
