use clap::Parser;
use query_api::{Config, Service};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // 1. What to do.
    let config = Config::parse();
    // 2. Logs and traces.
    let _telemetry = infra::telemetry::init(&config.telemetry, "query-api")?;
    // 3. The tables, the event types and the readers' keys.
    let service = Service::connect(config.clone()).await?;
    // 4. Listen.
    let listener = TcpListener::bind(&config.listen).await.map_err(|error| {
        anyhow::anyhow!("cannot listen on {}: {error}; give another --listen", config.listen)
    })?;
    tracing::info!(address = %listener.local_addr()?, "query-api listens");
    // 5. Answer until told to stop.
    service.run(listener, infra::shutdown::signal()).await
}
