//! The ClickHouse server of the stack: the engine from npm, and the child process that serves it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cache;
use crate::data::make_private;
use crate::ports::Port;
use crate::ready::Ready;
use crate::server::password_file;
use crate::supervise::{OnEvent, Restart, Spec, Supervised};

const PACKAGE: &str = include_str!("../engine/package.json");
const LOCK: &str = include_str!("../engine/package-lock.json");
const LIBRARY: &str = "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

/// Where libchdb is; fetched (about 570 MB) if it is not there yet.
///
/// # Errors
/// npm missing, too little disk, or the package does not have the hash that is pinned.
pub(crate) fn engine() -> anyhow::Result<PathBuf> {
    let name = cache::keyed("clickhouse-engine", &[PACKAGE.as_bytes(), LOCK.as_bytes()]);
    let entry = cache::entry(&name, |dir| {
        cache::require_space(dir, 1 << 30)?;
        fs::write(dir.join("package.json"), PACKAGE)?;
        fs::write(dir.join("package-lock.json"), LOCK)?;
        let mut command = Command::new("npm");
        command
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=http"])
            .current_dir(dir);
        let hint = "npm fetches the ClickHouse engine. Install it: https://nodejs.org, or apt-get install nodejs npm";
        cache::fetch(&mut command, "fetching the ClickHouse engine from npm (570 MB)", hint)?;
        // Only node needs it.
        let _ = fs::remove_file(dir.join(LIBRARY).with_file_name("chdb_node.node"));
        Ok(())
    })?;
    let library = entry.join(LIBRARY);
    ensure!(library.exists(), "{} is missing: remove {} and start again", library.display(), entry.display());
    Ok(library)
}

#[derive(Debug, Clone, Default)]
pub struct ClickHouseOptions {
    /// HTTP; 0: a free one.
    pub port: u16,
    /// The native protocol; 0: a free one.
    pub native_port: u16,
    /// The server program. By default the one beside the program that runs, in `target/<profile>`, which
    /// is built if it is missing.
    pub program: Option<PathBuf>,
}

/// A running ClickHouse server. The process can be killed, stopped, paused and started again:
/// [`ClickHouse::process`].
pub struct ClickHouse {
    pub process: Supervised,
    data: PathBuf,
    address: SocketAddr,
    native: SocketAddr,
    _ports: [Port; 2],
}

impl ClickHouse {
    /// Fetches the engine if need be and starts a server over `data`. Blocks while it fetches; does not
    /// wait until the server answers: [`Supervised::ready`].
    ///
    /// # Errors
    /// npm missing, a port taken, too little disk, or no server program.
    pub fn spawn(
        data: &Path,
        options: &ClickHouseOptions,
        restart: Restart,
        on_event: OnEvent,
    ) -> anyhow::Result<Self> {
        let http = Port::claim(options.port, "ClickHouse", "--clickhouse-port")?;
        let native =
            Port::claim(options.native_port, "ClickHouse's native protocol", "--clickhouse-native-port")?;
        cache::require_space(data, 512 << 20)?;
        let engine = engine()?;
        let program = match &options.program {
            Some(program) => program.clone(),
            None => program()?,
        };
        make_private(data)?;
        let mut command = Command::new(program);
        command.arg("--path").arg(data).arg("--engine").arg(engine);
        command.args(["--port", &http.number().to_string(), "--native-port", &native.number().to_string()]);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, http.number()));
        let process = Supervised::spawn(Spec {
            name: "ClickHouse".into(),
            command,
            log: data.join("clickhouse.log"),
            ready: Ready::Http(address, "/ping".into()),
            restart,
            grace: Duration::from_secs(20),
            on_event,
        })?;
        let native_address = SocketAddr::from((Ipv4Addr::LOCALHOST, native.number()));
        Ok(Self { process, data: data.into(), address, native: native_address, _ports: [http, native] })
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Of HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of the native protocol.
    pub fn native_address(&self) -> SocketAddr {
        self.native
    }

    /// How a program of this repository is told to be `user` (`writer` or `reader`) of this server.
    pub fn arguments(&self, user: &str) -> [String; 6] {
        [
            "--clickhouse-url".into(),
            self.url(),
            "--clickhouse-user".into(),
            user.into(),
            "--clickhouse-password-file".into(),
            self.password_file(user).display().to_string(),
        ]
    }

    /// The file with the password of `writer` or `reader`; there once the server answers.
    pub fn password_file(&self, user: &str) -> PathBuf {
        password_file(&self.data, user)
    }
}

const PROGRAM: &str = "clickhouse-local-server";

/// The server beside the running program; within `cargo test` and `cargo run` it is built if it is missing.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    // Tests run from target/<profile>/deps.
    let directories = own.ancestors().skip(1).take(2);
    let candidates: Vec<PathBuf> = directories.map(|dir| dir.join(PROGRAM)).collect();
    let found = || candidates.iter().find(|candidate| candidate.exists()).cloned();
    if let Some(program) = found() {
        return Ok(program);
    }
    if let Some(cargo) = std::env::var_os("CARGO") {
        eprintln!("building {PROGRAM}");
        let mut build = Command::new(cargo);
        build.args(["build", "-p", "local-stack", "--bin", PROGRAM]);
        if own.ancestors().any(|dir| dir.ends_with("release")) {
            build.arg("--release");
        }
        ensure!(
            build.current_dir(env!("CARGO_MANIFEST_DIR")).status()?.success(),
            "{PROGRAM} does not build"
        );
    }
    found().with_context(|| {
        format!("{PROGRAM} is missing beside {}: cargo build -p local-stack --bins", own.display())
    })
}
