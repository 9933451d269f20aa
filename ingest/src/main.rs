use clap::Parser;
use ingest::config::{Cli, Keys, Verb};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Two threads: the work is parsing and copying, and librdkafka has its own. More only share the same locks.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    // 1. What to do.
    let cli = Cli::parse();
    let config = match cli.verb {
        Some(Verb::Keys(Keys::New { app, browser, expires })) => {
            ingest::new_key::print(&app, browser, expires);
            return Ok(());
        }
        Some(Verb::Run(config)) => *config,
        None => cli.config,
    };
    // 2. Logs and traces.
    let _telemetry = infra::telemetry::init(&config.telemetry, "ingest")?;
    // 3. Listen.
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        anyhow::anyhow!("cannot listen on {}: {error}; give another --listen", config.listen)
    })?;
    tracing::info!(address = %listener.local_addr()?, "ingest listens");
    // 4. Take events until told to stop.
    ingest::serve(config, listener, infra::shutdown::signal()).await
}
