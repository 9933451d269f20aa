//! The three services as processes: how each is called, and where it listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use local_stack::supervise::{OnEvent, Restart, Spec};
use local_stack::{ClickHouse, Port, Ready, Supervised};

/// The settings that the services of one pipeline share.
#[derive(Clone)]
pub struct Settings {
    pub kafka: String,
    pub clickhouse: String,
    /// The name of a cluster and the URLs of its shards, in their order; then `clickhouse` is for tests only.
    pub cluster: Option<(&'static str, Vec<String>)>,
    /// The files with the passwords of ClickHouse's users `writer` and `reader`.
    pub passwords: Passwords,
    pub topic: String,
    /// The database of the views; generations are named after it.
    pub database: String,
    /// More event types beside the built-in ones.
    pub event_types: Option<PathBuf>,
    /// Further settings, as the variables of the environment that hold them.
    pub environment: Vec<(String, String)>,
    /// Where the logs go.
    pub logs: PathBuf,
    pub restart: Restart,
    pub on_event: OnEvent,
}

#[derive(Clone)]
pub struct Passwords {
    pub writer: PathBuf,
    pub reader: PathBuf,
}

impl Passwords {
    pub fn of(clickhouse: &ClickHouse) -> Self {
        Self { writer: clickhouse.password_file("writer"), reader: clickhouse.password_file("reader") }
    }
}

/// A service that answers HTTP.
pub struct Service {
    pub process: Supervised,
    port: Port,
    log: PathBuf,
}

impl Service {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn log_end(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// # Errors
    /// It does not get ready; the end of its log is in the error.
    pub async fn ready(&self) -> anyhow::Result<()> {
        self.process.ready(Duration::from_secs(60)).await
    }
}

impl Settings {
    /// # Errors
    /// The port is taken, or the program is not built.
    pub fn ingest(&self, port: u16) -> anyhow::Result<Service> {
        let port = Port::claim(port, "ingest", "--ingest-port")?;
        let mut command = self.command("ingest")?;
        command.arg("run");
        self.spawn("ingest", command, port, "/readyz")
    }

    /// # Errors
    /// The port is taken, or the program is not built.
    pub fn projector(&self, name: &str, port: u16) -> anyhow::Result<Service> {
        let port = Port::claim(port, "the projector", "--projector-port")?;
        let mut command = self.command("projector")?;
        command.arg("run");
        self.spawn(name, command, port, "/healthz")
    }

    /// # Errors
    /// The port is taken, or the program is not built.
    pub fn query_api(&self, port: u16) -> anyhow::Result<Service> {
        let port = Port::claim(port, "the query API", "--query-port")?;
        let command = self.command("query-api")?;
        self.spawn("query-api", command, port, "/readyz")
    }

    /// Runs `projector VERB...` to its end and returns what it printed.
    ///
    /// # Errors
    /// It failed; what it said is in the error.
    pub async fn projector_verb(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::from(self.command("projector")?);
        let output = command.args(arguments).kill_on_drop(true).output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "projector {} failed ({}):\n{said}{errors}",
            arguments.join(" "),
            output.status
        );
        Ok(said)
    }

    /// A program of ours with the settings in its environment.
    ///
    /// # Errors
    /// The program is not built.
    pub fn command(&self, program: &str) -> anyhow::Result<Command> {
        let path = program_path(program)?;
        let mut command = Command::new(path);
        command
            .env("EYE_KAFKA_BROKERS", &self.kafka)
            .env("EYE_TOPIC", &self.topic)
            .env("EYE_APPS", apps())
            .env("EYE_PROJECTOR_GROUP", format!("{}-projector", self.database));
        let of_clickhouse = match program {
            "projector" => Some(("writer", &self.passwords.writer)),
            "query-api" => Some(("reader", &self.passwords.reader)),
            _ => None,
        };
        if let Some((user, password)) = of_clickhouse {
            match &self.cluster {
                None => command.env("EYE_CLICKHOUSE_URL", &self.clickhouse),
                Some((name, nodes)) => {
                    command.env("EYE_CLICKHOUSE_CLUSTER", name).env("EYE_CLICKHOUSE_NODES", nodes.join(","))
                }
            };
            command
                .env("EYE_CLICKHOUSE_USER", user)
                .env("EYE_CLICKHOUSE_PASSWORD_FILE", password)
                .env("EYE_CLICKHOUSE_DATABASE", &self.database);
        }
        if let Some(event_types) = &self.event_types {
            command.env("EYE_EVENT_TYPES", event_types);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    fn spawn(&self, name: &str, mut command: Command, port: Port, ready: &str) -> anyhow::Result<Service> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        command.arg("--listen").arg(address.to_string());
        let log = self.logs.join(format!("{name}.log"));
        let process = Supervised::spawn(Spec {
            name: name.into(),
            command,
            log: log.clone(),
            ready: Ready::Http(address, ready.into()),
            restart: self.restart,
            grace: Duration::from_secs(15),
            on_event: self.on_event.clone(),
        })?;
        Ok(Service { process, port, log })
    }
}

/// The applications of the local stack: `demo` with the key `demo-key`.
fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/apps.toml")
}

/// A program that was built beside this one: `target/<profile>/<name>`.
fn program_path(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let found = here.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.exists());
    match found {
        Some(path) => Ok(path),
        None => anyhow::bail!("the program {name} is not built: run `cargo build --workspace --bins` first"),
    }
}
