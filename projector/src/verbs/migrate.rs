//! Creates the topic, the tables and the views.

use anyhow::ensure;
use clap::Args;
use infra::database::ClickHouseConfig;
use infra::kafka::{self, KafkaConfig, TopicConfig};

#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub kafka: KafkaConfig,
    #[command(flatten)]
    pub topic: TopicConfig,
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    /// Only print the statements that make the first generation, to read them or to apply them by hand.
    #[arg(long)]
    pub render: bool,
}

/// It is safe to run again.
///
/// # Errors
/// Brokers or ClickHouse are out of reach, a statement fails, or the topic has settings that lose records.
pub async fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    if args.render {
        print!("{}", tables::render(&args.clickhouse, 1)?);
        return Ok(());
    }
    kafka::create_topic(&args.kafka, &args.topic).await?;
    let faulty = kafka::faulty_settings(&args.kafka).await?;
    ensure!(faulty.is_empty(), kafka::how_to_mend(&args.kafka, &faulty));
    let generation = tables::serving(&args.clickhouse).await?.unwrap_or(1);
    tables::migrate(&args.clickhouse, generation).await?;
    tables::serve(&args.clickhouse, generation).await
}
