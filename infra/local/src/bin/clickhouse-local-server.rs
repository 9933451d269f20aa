//! A genuine ClickHouse server on one machine, for development and tests.

use std::process::ExitCode;

use clap::Parser;
use local_stack::ServerConfig;

/// Runs the ClickHouse engine as a server, HTTP and native, on this machine only, for development and tests.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: ServerConfig,
}

fn main() -> ExitCode {
    if let Err(error) = local_stack::serve(&Options::parse().server) {
        eprintln!("clickhouse-local-server: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
