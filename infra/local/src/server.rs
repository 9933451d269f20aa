//! `clickhouse-local-server`: a genuine ClickHouse server over one data directory, on this machine only.
//!
//! The library of the engine holds clickhouse-local, and clickhouse-local understands `SYSTEM START LISTEN`:
//! ClickHouse's own HTTP and native protocol, users, grants and limits. We only start and end it.
//!
//! In the directory: `data` (the engine's), `config.xml`, `users.xml`, `users.d` (written at each start),
//! `writer.password` and `reader.password` (made once). Files in `config.d` are part of the configuration,
//! too. Only the owner may read any of it.
//!
//! Several such servers are the shards of a cluster, [`CLUSTER`]: `--shards` and `--passwords`.
//!
//! clickhouse-local lacks: ON CLUSTER and replicated tables, `SYSTEM RELOAD CONFIG`, query_log.
//!
//! Durability: acknowledged rows survive `kill -9`, but no power cut, because there is no fsync. Before the engine
//! opens the data, `dedup.rs` repairs the deduplication logs.

mod dedup;
mod users;

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use rustix::fs::Mode;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::users::password_file;
use crate::engine::engine;
use crate::{data, ffi};

/// How `system.clusters` calls the shards.
pub(crate) const CLUSTER: &str = "eye";

/// Small caches, no logs of queries, no texts of statements in the log.
const CONFIG: &str = include_str!("../engine/config.xml");

/// The last statement reads a terminal where nobody types: it ends, and the engine with it, when that is closed.
const STATEMENTS: &str = "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; \
     SELECT * FROM file(stdin, LineAsString, 'line String') FORMAT Null";

/// How the server runs.
#[derive(Debug, Clone, Args)]
pub struct ServerConfig {
    /// Where the data is; one server at a time owns it.
    #[arg(long, env = "EYE_CLICKHOUSE_DATA", default_value = ".eye/clickhouse")]
    pub path: PathBuf,
    /// Where to answer HTTP, on 127.0.0.1.
    #[arg(long, default_value_t = 8123)]
    pub port: u16,
    /// Where to answer the native protocol, on 127.0.0.1.
    #[arg(long, default_value_t = 9000)]
    pub native_port: u16,
    /// libchdb.so; fetched from npm into the cache if not given.
    #[arg(long, env = "EYE_CLICKHOUSE_ENGINE")]
    pub engine: Option<PathBuf>,
    /// The native ports of all shards of the cluster, this server's among them. Each is a server like this one,
    /// with the same passwords; always in the same order.
    #[arg(long, value_delimiter = ',', value_name = "PORT,PORT", requires = "passwords")]
    pub shards: Vec<u16>,
    /// Where the passwords are; by default where the data is.
    #[arg(long, value_name = "DIR")]
    pub passwords: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT, then ends what runs and closes the engine. Call it once in a process: the
/// engine takes the standard input and the handlers of fatal signals.
///
/// # Errors
/// One clear line: a port is taken, another process owns the data, the engine can't be fetched or fails.
pub fn serve(config: &ServerConfig) -> anyhow::Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    for (port, option) in [(config.port, "--port"), (config.native_port, "--native-port")] {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        ensure!(free, "port {port} is occupied: stop what listens there, or choose another with {option}");
    }
    let library = match &config.engine {
        Some(library) => library.clone(),
        None => engine()?,
    };
    let directory = std::path::absolute(&config.path)?;
    let _lock = own(&directory)?;
    let data = directory.join("data");
    let dropped = dedup::repair(&data).context("cannot repair the deduplication logs")?;
    if dropped > 0 {
        eprintln!("dropped {dropped} entries of deduplication logs whose parts were never committed");
    }
    let passwords = config.passwords.as_deref().unwrap_or(&directory);
    let writer = users::write(&directory, passwords)?;
    let configuration = directory.join("config.xml");
    let text = CONFIG
        .replace("{users}", &directory.join("users.xml").display().to_string())
        .replace("{http}", &config.port.to_string())
        .replace("{native}", &config.native_port.to_string())
        .replace("{cluster}", &cluster(&config.shards, &writer));
    fs::write(&configuration, text)?;
    close_at_signal(stdin()?)?;
    ffi::chdb::clickhouse_local(
        &library,
        &[
            format!("--path={}", data.display()),
            format!("--config-file={}", configuration.display()),
            format!("--query={STATEMENTS}"),
            "--interactive".into(),
            "--progress=off".into(),
            "--history_file=/dev/null".into(),
        ],
    )
}

/// In the words of `remote_servers`; nothing for a server that is alone.
fn cluster(shards: &[u16], writer: &str) -> String {
    let shard = |port| {
        format!(
            "<shard><internal_replication>true</internal_replication>\
             <replica><host>127.0.0.1</host><port>{port}</port><user>writer</user><password>{writer}</password></replica></shard>"
        )
    };
    let shards: String = shards.iter().map(shard).collect();
    if shards.is_empty() { shards } else { format!("<{CLUSTER}>{shards}</{CLUSTER}>") }
}

/// Takes the directory for this process alone, while it holds the lock. The kernel releases the lock however the
/// process dies.
fn own(directory: &Path) -> anyhow::Result<File> {
    let is_empty = || fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(
        !directory.exists() || is_empty() || directory.join("lock").exists(),
        "{} holds other files: give a directory for this server alone with --path",
        directory.display()
    );
    data::make_private(directory)?;
    let lock = File::create(directory.join("lock"))?;
    ensure!(
        lock.try_lock().is_ok(),
        "{} is in use by another server: stop it, or choose another with --path",
        directory.display()
    );
    Ok(lock)
}

/// Makes the standard input a terminal of its own; returns the end where one would type. TRICKY: without a terminal
/// clickhouse-local is not interactive, and then an error of a connection, a wrong password, ends the process.
fn stdin() -> io::Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let keyboard = openpt(flags)?;
    grantpt(&keyboard)?;
    unlockpt(&keyboard)?;
    rustix::stdio::dup2_stdin(ioctl_tiocgptpeer(&keyboard, flags)?)?;
    Ok(keyboard)
}

/// Before the engine starts: without a handler SIGTERM would end the process wherever it is.
fn close_at_signal(keyboard: OwnedFd) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let handlers = runtime.enter();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    drop(handlers);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        });
        drop(keyboard);
    });
    Ok(())
}
