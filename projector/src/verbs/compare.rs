//! Compares two generations row for row.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use infra::database::ClickHouseConfig;
use tables::verdict::{EVENTS, REJECTIONS, TARGETS};

use crate::database::Database;
use crate::keep::audit::totals;
use crate::verbs::generations::known;

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    pub one: u32,
    pub other: u32,
}

/// Compares table by table and partition by partition, as far as both generations are projected.
///
/// # Errors
/// ClickHouse is out of reach, or a generation does not exist.
pub async fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let clickhouse = &args.clickhouse;
    known(clickhouse, args.one).await?;
    known(clickhouse, args.other).await?;
    let one = Database::new(clickhouse, args.one, "");
    let other = Database::new(clickhouse, args.other, "");
    // Both are compared up to the end of the shorter one.
    let ends = |totals: Vec<crate::keep::audit::Totals>| -> BTreeMap<u16, u64> {
        totals.iter().map(|row| (row.partition, row.ledger_last + u64::from(row.ledger_rows > 0))).collect()
    };
    let (ends_of_one, ends_of_other) = (ends(totals(&one).await?), ends(totals(&other).await?));
    let mut different = 0u64;
    let mut compared = 0u64;
    for (target, table) in TARGETS {
        let columns = columns(&one, table).await?;
        for (&partition, &end) in &ends_of_one {
            let to = end.min(ends_of_other.get(&partition).copied().unwrap_or(0));
            // One generation may have expired more rows.
            let (horizon, of_other) =
                (one.horizon(partition.into()).await?, other.horizon(partition.into()).await?);
            let kept_from = horizon.kept_from.max(of_other.kept_from);
            let from = if matches!(target, EVENTS | REJECTIONS) { kept_from } else { 0 };
            let fingerprint = |database: &Database| {
                let sql = include_str!("compare/fingerprint.sql")
                    .replace("{columns}", &columns)
                    .replace("{table}", table)
                    .replace("{database}", &database.name);
                database
                    .client
                    .query(&sql)
                    .param("partition", partition)
                    .param("from", from)
                    .param("to", to)
                    .fetch_one::<(u64, u64)>()
            };
            let (in_one, in_other) = (fingerprint(&one).await?, fingerprint(&other).await?);
            compared += in_one.0;
            if in_one != in_other {
                different += 1;
                let sql = include_str!("compare/differences.sql")
                    .replace("{columns}", &columns)
                    .replace("{table}", table)
                    .replace("{one}", &one.name)
                    .replace("{other}", &other.name);
                let first: Vec<u64> = one
                    .client
                    .query(&sql)
                    .param("partition", partition)
                    .param("from", from)
                    .param("to", to)
                    .fetch_all()
                    .await?;
                println!(
                    "{table}, partition {partition}: {} rows and {} rows below offset {to}; they differ at {first:?}",
                    in_one.0, in_other.0
                );
            }
        }
    }
    if different == 0 {
        let offsets: u64 = ends_of_one
            .iter()
            .map(|(partition, end)| (*end).min(ends_of_other.get(partition).copied().unwrap_or(0)))
            .sum();
        if offsets == 0 {
            println!(
                "generations {} and {} have no offset in common: there is nothing to compare",
                args.one, args.other
            );
            return Ok(ExitCode::FAILURE);
        }
        println!(
            "generations {} and {} are equal: {compared} rows of {offsets} offsets",
            args.one, args.other
        );
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// All columns of a table, written so that NULL and zero differ.
async fn columns(database: &Database, table: &str) -> anyhow::Result<String> {
    let columns: Vec<String> = database
            .client
        .query("SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String} ORDER BY position")
        .param("database", &database.name)
        .param("table", table)
        .fetch_all()
        .await?;
    Ok(columns
        .iter()
        .map(|name| format!("assumeNotNull({name}), isNull({name})"))
        .collect::<Vec<_>>()
        .join(", "))
}
