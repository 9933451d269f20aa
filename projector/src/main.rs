//! The program `projector`: the service and its verbs.

use clap::Parser;
use projector::cli::{self, Cli, Command};
use projector::verbs::{
    accept_loss, audit, check_schemas, compare, erase, generations, migrate, propose_schema, reproject,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// One thread for all ClickHouse requests. On several threads, hyper may give a request to a connection that closes at
// that moment, and never answer (tokio's mpsc keeps a value that is pushed while its receiver is dropped): the
// partition would stand still until its time limit. On one thread this can't happen. The loop judges records on its own
// thread, and blocking calls have threads of their own.
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
        Command::Migrate(args) => migrate::run(&args).await?,
        Command::Audit(args) => return audit::run(&args).await,
        Command::AcceptLoss(args) => return accept_loss::run(&args).await,
        Command::Reproject(args) => reproject::run(&args, infra::shutdown::signal()).await?,
        Command::Erase(args) => erase::run(&args).await?,
        Command::Generations(args) => generations::run(&args).await?,
        Command::Compare(args) => return compare::run(&args).await,
        Command::CheckSchemas(args) => {
            return Ok(tokio::task::spawn_blocking(move || check_schemas::run(&args)).await?);
        }
        Command::ProposeSchema(args) => {
            tokio::task::spawn_blocking(move || propose_schema::run(&args)).await??;
        }
    }
    Ok(std::process::ExitCode::SUCCESS)
}
