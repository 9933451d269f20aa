//! The ClickHouse servers of the stack: child processes that run our server program.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cache;
use crate::data::make_private;
use crate::engine::engine;
use crate::ports::Port;
use crate::ready::{Ready, START};
use crate::server::{CLUSTER, password_file};
use crate::supervise::{OnEvent, Restart, Spec, Supervised};

#[derive(Debug, Clone)]
pub struct ClickHouseOptions {
    /// HTTP; 0: a free one. Further shards have the numbers that follow.
    pub port: u16,
    /// The native protocol; 0: a free one. Further shards have the numbers that follow.
    pub native_port: u16,
    /// How many servers, each a shard of a cluster; 1: a server that is alone.
    pub shards: u16,
    /// The server program. By default the one beside the program that runs, in `target/<profile>`, which
    /// `cargo build --workspace --bins` makes.
    pub program: Option<PathBuf>,
}

impl Default for ClickHouseOptions {
    fn default() -> Self {
        Self { port: 0, native_port: 0, shards: 1, program: None }
    }
}

/// A running ClickHouse server; the first one of several shards, which holds the others. Each process can be
/// killed, stopped, paused and started again: [`ClickHouse::process`].
pub struct ClickHouse {
    pub process: Supervised,
    data: PathBuf,
    address: SocketAddr,
    native: SocketAddr,
    _ports: [Port; 2],
    others: Vec<ClickHouse>,
}

impl ClickHouse {
    /// Fetches the engine if need be and starts the servers over `clickhouse`, `clickhouse-2`, ... in a stack's
    /// directory. Blocks while it fetches; does not wait until they answer: [`ClickHouse::ready`].
    ///
    /// # Errors
    /// npm missing, a port taken, too little disk, no server program, or data of another number of shards.
    pub fn spawn(
        stack: &Path,
        options: &ClickHouseOptions,
        restart: Restart,
        on_event: &OnEvent,
    ) -> anyhow::Result<Self> {
        let after = |first: u16, shard| if first == 0 { 0 } else { first.saturating_add(shard) };
        let mut ports = Vec::new();
        for shard in 0..options.shards {
            let http = after(options.port, shard);
            let native = after(options.native_port, shard);
            ports.push([
                Port::claim(http, "ClickHouse", "--clickhouse-port")?,
                Port::claim(native, "ClickHouse's native protocol", "--clickhouse-native-port")?,
            ]);
        }
        cache::require_space(stack, u64::from(options.shards) * (512 << 20))?;
        let engine = engine()?;
        let program = options.program.clone().map_or_else(program, Ok)?;
        keep_number(stack, options.shards)?;
        let natives: Vec<String> = ports.iter().map(|[_, native]| native.number().to_string()).collect();
        let mut shards = Vec::new();
        for (ports, number) in ports.into_iter().zip(1..) {
            let name = if number == 1 { "clickhouse".into() } else { format!("clickhouse-{number}") };
            let data = stack.join(&name);
            make_private(&data)?;
            let [http, native] = ports.each_ref().map(Port::number);
            let mut command = Command::new(&program);
            command.arg("--path").arg(&data).arg("--engine").arg(&engine).arg("--passwords").arg(stack);
            command.args(["--port", &http.to_string(), "--native-port", &native.to_string()]);
            if options.shards > 1 {
                command.args(["--shards", &natives.join(",")]);
            }
            let [address, native] = [http, native].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            let process = Supervised::spawn(Spec {
                name: if number == 1 { "ClickHouse".into() } else { format!("ClickHouse {number}") },
                command,
                // Beside the data, which may be removed while the server is down.
                log: stack.join(name + ".log"),
                ready: Ready::Http(address, "/ping".into()),
                restart,
                grace: Duration::from_secs(20),
                on_event: Arc::clone(on_event),
            })?;
            shards.push(Self { process, data, address, native, _ports: ports, others: Vec::new() });
        }
        let others = shards.split_off(1);
        let first = shards.pop().context("no shards")?;
        Ok(Self { others, ..first })
    }

    /// Every server, in the order of the cluster's shards.
    pub fn shards(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// Waits until every server answers.
    ///
    /// # Errors
    /// As [`Supervised::ready`].
    pub async fn ready(&self) -> anyhow::Result<()> {
        for shard in self.shards() {
            shard.process.ready(START).await?;
        }
        Ok(())
    }

    /// The directory with the server's data. It may be removed while the server is down.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the native protocol.
    pub fn native_address(&self) -> SocketAddr {
        self.native
    }

    /// The URLs of all shards, in their order, and how `system.clusters` calls them.
    pub fn cluster(&self) -> Option<(&'static str, Vec<String>)> {
        (!self.others.is_empty()).then(|| (CLUSTER, self.shards().map(Self::url).collect()))
    }

    /// The arguments by which a program of this repository is `user` (`writer` or `reader`) of this server, or cluster.
    pub fn arguments(&self, user: &str) -> Vec<String> {
        let mut arguments = match self.cluster() {
            None => vec!["--clickhouse-url".into(), self.url()],
            Some((name, urls)) => {
                vec!["--clickhouse-cluster".into(), name.into(), "--clickhouse-nodes".into(), urls.join(",")]
            }
        };
        let password = self.password_file(user).display().to_string();
        arguments.extend(["--clickhouse-user".into(), user.into()]);
        arguments.extend(["--clickhouse-password-file".into(), password]);
        arguments
    }

    /// The file with the password of `writer` or `reader`; there once the server answers.
    pub fn password_file(&self, user: &str) -> PathBuf {
        password_file(self.data.parent().unwrap_or(&self.data), user)
    }
}

/// Data of one number of shards is of no use with another: a cluster would look for rows elsewhere.
fn keep_number(stack: &Path, shards: u16) -> anyhow::Result<()> {
    ensure!(shards > 0, "ClickHouse needs one shard at least");
    let file = stack.join("shards");
    let kept = match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} is no number", file.display()))?,
        Err(_) if stack.join("clickhouse").exists() => 1,
        Err(_) => shards,
    };
    let data = stack.display();
    ensure!(
        kept == shards,
        "{data} has data of ClickHouse with {kept} shards, not {shards}: start it with {kept}, or choose another directory"
    );
    Ok(fs::write(&file, shards.to_string())?)
}

const PROGRAM: &str = "clickhouse-local-server";

/// The server beside the running program.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    // Tests run from target/<profile>/deps.
    let mut candidates = own.ancestors().skip(1).take(2).map(|dir| dir.join(PROGRAM));
    candidates.find(|candidate| candidate.exists()).with_context(|| {
        format!("{PROGRAM} is missing beside {}: cargo build --workspace --bins", own.display())
    })
}
