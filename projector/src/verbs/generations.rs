//! Lists the generations, serves one, drops one.

use anyhow::{bail, ensure};
use clap::Args;
use infra::database::ClickHouseConfig;

use crate::database::Database;
use crate::keep::audit::totals;

#[derive(Debug, Args)]
pub struct GenerationsArgs {
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    /// Drop this generation; the serving one can't be dropped.
    #[arg(long, value_name = "N")]
    pub drop: Option<u32>,
    /// Serve this generation instead: the way back after a re-projection.
    #[arg(long, value_name = "N")]
    pub serve: Option<u32>,
}

/// # Errors
/// ClickHouse is out of reach, or the generation does not exist or serves.
pub async fn run(args: &GenerationsArgs) -> anyhow::Result<()> {
    let clickhouse = &args.clickhouse;
    if let Some(generation) = args.serve {
        known(clickhouse, generation).await?;
        tables::check_version(clickhouse, generation).await?;
        tables::serve(clickhouse, generation).await?;
    }
    if let Some(generation) = args.drop {
        known(clickhouse, generation).await?;
        drop_generation(clickhouse, generation).await?;
    }
    let serving = tables::serving(clickhouse).await?;
    println!("{:>10} {:>14} {:>14} {:>14}", "generation", "offsets", "accepted", "rejected");
    for generation in tables::list(clickhouse).await? {
        let serves = if Some(generation) == serving { "  serves" } else { "" };
        match totals(&Database::new(clickhouse, generation, "")).await {
            Ok(totals) => println!(
                "{generation:>10} {:>14} {:>14} {:>14}{serves}",
                totals.iter().map(|row| row.ledger_rows).sum::<u64>(),
                totals.iter().map(|row| row.accepted).sum::<u64>(),
                totals.iter().map(|row| row.rejected).sum::<u64>(),
            ),
            // A generation whose building stopped early may lack its tables.
            Err(error) => println!("{generation:>10} can't be read: {error}{serves}"),
        }
    }
    Ok(())
}

pub(crate) async fn drop_generation(clickhouse: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    if tables::serving(clickhouse).await? == Some(generation) {
        bail!(
            "generation {generation} serves: serve another one first, by `projector generations --serve N`"
        );
    }
    for database in tables::cluster::databases(clickhouse, generation) {
        let drop = format!("DROP DATABASE IF EXISTS {database}{} SYNC", clickhouse.on_cluster());
        for server in clickhouse.clients() {
            server.query(&drop).execute().await?;
        }
    }
    println!("generation {generation} is dropped");
    Ok(())
}

pub(crate) async fn known(clickhouse: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    let all = tables::list(clickhouse).await?;
    ensure!(all.contains(&generation), "there is no generation {generation}: there are {all:?}");
    Ok(())
}
