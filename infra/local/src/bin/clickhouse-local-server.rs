//! The ClickHouse engine behind ClickHouse's HTTP protocol, for development and tests.

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use local_stack::ServerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serves ClickHouse's HTTP protocol from the ClickHouse engine, on one machine, for development and tests.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: ServerConfig,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        // The engine keeps state of each thread that ever called it, and complains when one ends.
        .thread_keep_alive(Duration::from_secs(7 * 24 * 3600))
        .build()?
        .block_on(run(options))
}

async fn run(options: Options) -> anyhow::Result<()> {
    let listen = options.server.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!(
            "port {} is occupied: stop what listens there, or choose another with --listen",
            listen.port()
        )
    })?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    local_stack::serve(options.server, listener, shutdown).await
}
