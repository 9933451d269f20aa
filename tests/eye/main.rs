//! `eye run`: the whole pipeline on this machine, in one terminal. `eye with -- COMMAND`: the same on free
//! ports and temporary data, for as long as a command runs.

mod whole;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use whole::Whole;

#[derive(Parser)]
#[command(version, about = "The Eye on this machine: Kafka, ClickHouse and the three services")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start everything and stay until Ctrl-C.
    Run(RunOptions),
    /// Start everything on free ports with temporary data, run a command with the addresses in its
    /// environment (EYE_URL, EYE_QUERY_URL, EYE_PROJECTOR_URL, EYE_KAFKA, EYE_KEY, and of ClickHouse
    /// EYE_CLICKHOUSE_URL, EYE_CLICKHOUSE_NATIVE, EYE_CLICKHOUSE_USER, EYE_CLICKHOUSE_PASSWORD_FILE;
    /// of several shards also EYE_CLICKHOUSE_CLUSTER, and EYE_CLICKHOUSE_NODES instead of EYE_CLICKHOUSE_URL),
    /// stop everything, and exit as the command did.
    With {
        #[arg(long, env = "SHARDS", default_value_t = 1)]
        clickhouse_shards: u16,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Args)]
struct RunOptions {
    /// Where Kafka and ClickHouse keep their data.
    #[arg(long, env = "DATA", default_value = ".eye")]
    data: PathBuf,
    /// 1: replay the demo data, once for a data directory; 0: start empty.
    #[arg(long, env = "DEMO", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    demo: u8,
    /// A directory with more event types beside the built-in ones.
    #[arg(long, env = "EVENT_TYPES")]
    event_types: Option<PathBuf>,
    /// How many ClickHouse servers; more than one are the shards of a cluster.
    #[arg(long, env = "SHARDS", default_value_t = 1)]
    clickhouse_shards: u16,
    #[command(flatten)]
    ports: Ports,
}

/// Fixed, so that examples can be typed as they are.
#[derive(Args, Clone, Copy)]
struct Ports {
    #[arg(long, env = "INGEST_PORT", default_value_t = 8080)]
    ingest_port: u16,
    /// The query API and the console.
    #[arg(long, env = "QUERY_PORT", default_value_t = 8081)]
    query_port: u16,
    /// The projector's health and metrics.
    #[arg(long, env = "PROJECTOR_PORT", default_value_t = 8082)]
    projector_port: u16,
    /// Further shards have the numbers that follow, also of the native protocol.
    #[arg(long, env = "CLICKHOUSE_PORT", default_value_t = 8123)]
    clickhouse_port: u16,
    #[arg(long, env = "CLICKHOUSE_NATIVE_PORT", default_value_t = 9000)]
    clickhouse_native_port: u16,
    #[arg(long, env = "KAFKA_PORT", default_value_t = 9092)]
    kafka_port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(options) => run(options).await,
        Verb::With { clickhouse_shards, command } => with(clickhouse_shards, &command).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("eye: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    let started = std::time::Instant::now();
    let (shards, demo) = (options.clickhouse_shards, options.demo == 1);
    let whole = tokio::select! {
        whole = Whole::start(Some(options.data), options.event_types, demo, shards, options.ports) => whole?,
        // The programs that have started so far are killed as they are dropped.
        _ = infra::shutdown::signal() => return Ok(ExitCode::from(130)),
    };
    whole.introduce(demo);
    println!("ready after {:.1} s; Ctrl-C stops it all", started.elapsed().as_secs_f32());
    infra::shutdown::signal().await;
    eprintln!("stopping");
    whole.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn with(shards: u16, command: &[String]) -> anyhow::Result<ExitCode> {
    let free = Ports {
        ingest_port: 0,
        query_port: 0,
        projector_port: 0,
        clickhouse_port: 0,
        clickhouse_native_port: 0,
        kafka_port: 0,
    };
    let whole = Whole::start(None, None, true, shards, free).await?;
    let mut child = tokio::process::Command::new(&command[0]);
    child.args(&command[1..]).envs(whole.environment()).kill_on_drop(true);
    let mut child = child.spawn().with_context(|| format!("cannot run {}", command[0]))?;
    let status = tokio::select! {
        status = child.wait() => status?,
        _ = infra::shutdown::signal() => return Ok(ExitCode::from(130)),
    };
    whole.stop().await;
    // A command that a signal ended has no code.
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
