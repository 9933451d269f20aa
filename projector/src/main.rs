//! Projects the log into ClickHouse, and the verbs around it.

use clap::Parser;
use projector::cli;
use projector::cli::{Cli, Command};
use projector::keep::{audit, erase};
use projector::verbs::{check_schemas, generations, propose_schema};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// One thread for all that waits for ClickHouse: hyper may take a request for a connection that closes at that moment on
// another thread, and then never answers (tokio's mpsc keeps a value that is pushed while its receiver is dropped); a
// partition would stand still until the limit of time. On one thread the two can't meet. Records are judged on the
// loop's own thread, and what blocks has threads of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    // 1. The command line, logs and traces.
    let Cli { telemetry, command } = Cli::parse();
    let _telemetry = infra::telemetry::init(&telemetry, "projector")?;
    // 2. The verb.
    match command {
        Command::Run(config) => {
            let listener = cli::listen(config.listen).await?;
            projector::serve(*config, listener, infra::shutdown::signal()).await?;
        }
        Command::Migrate(args) => cli::migrate(&args).await?,
        Command::Audit(args) => return audit::run(&args).await,
        Command::Reproject(args) => generations::reproject(&args, infra::shutdown::signal()).await?,
        Command::Erase(args) => erase::run(&args).await?,
        Command::Generations(args) => generations::list(&args).await?,
        Command::Compare(args) => return generations::compare(&args).await,
        Command::CheckSchemas(args) => {
            return Ok(tokio::task::spawn_blocking(move || check_schemas::run(&args)).await?);
        }
        Command::ProposeSchema(args) => {
            tokio::task::spawn_blocking(move || propose_schema::run(&args)).await??;
        }
    }
    Ok(std::process::ExitCode::SUCCESS)
}
