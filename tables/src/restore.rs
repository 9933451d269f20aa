//! Makes the tables of a shard that has lost them (a new disk).
//!
//! Everything that is computed from rows is emptied on all servers: the dictionary whose numbers `sequences` and the
//! days of use hold may be lost with the first server. The version is recorded last. Until then the server counts as
//! lost ([`made`]): a restoration that failed half way begins again, and nothing is computed.

use std::time::Duration;

use anyhow::Context;
use clickhouse::Client;
use infra::database::{ClickHouseConfig, SMALL, within};

use crate::cluster;
use crate::ddl::{CHANGES, TABLES, statements};
use crate::generations::serving;
use crate::make::{foundation, has_table, make, noted, run, serve_on, versions};

/// How long [`no_insert`] waits between two looks for inserts into `sequences`, and how often it looks.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 240;
/// How long a restoration may take. After that it begins again.
const LONGEST: Duration = Duration::from_secs(300);

/// When each server's tables of a generation were made, in milliseconds; `None` for a server that lacks some.
///
/// # Errors
/// A server out of reach.
pub async fn made(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<Vec<Option<i64>>> {
    let (own, databases) = (cluster::own(config, generation), cluster::databases(config, generation));
    let tables: Vec<&str> = TABLES.iter().map(|(name, _)| *name).collect();
    let mut servers = Vec::new();
    for url in config.urls() {
        let client = config.client_of(url);
        let asked = async {
            let sql = "SELECT count() FROM system.tables WHERE database IN {databases:Array(String)} AND \
                       (has({tables:Array(String)}, name) OR startsWith(name, 'landing_to_'))";
            let found: u64 =
                client.query(sql).param("databases", &databases).param("tables", &tables).fetch_one().await?;
            if found < complete(config) || !has_table(&client, &own, "migrations").await? {
                return Ok(None);
            }
            let sql = format!(
                "SELECT toUnixTimestamp64Milli(max(applied_at)) FROM {own}.migrations HAVING count() > 0"
            );
            client.query(&sql).fetch_optional().await
        };
        servers.push(within(SMALL, asked).await.with_context(|| format!("ClickHouse at {url}"))?);
    }
    Ok(servers)
}

/// Whether some servers have their tables and others do not. Tables that no server has were dropped on purpose.
pub fn is_lost(made: &[Option<i64>]) -> bool {
    made.iter().any(Option::is_some) && made.iter().any(Option::is_none)
}

/// How many tables and materialized views of a generation a server has.
fn complete(config: &ClickHouseConfig) -> u64 {
    let database = config.generation(1);
    let all = TABLES.iter().flat_map(|(_, sql)| statements(sql));
    let made = all.map(|sql| cluster::spread(config, sql.replace("{database}", &database)));
    made.map(|made| made.map_or(0, |made| made.len() as u64)).sum()
}

/// Makes the tables and views of a generation again on each shard that lacks some, if another shard has them. Tables
/// that all shards or a single server have lost were dropped on purpose.
///
/// # Errors
/// As [`crate::migrate`]. Calling it again begins again.
pub async fn restore(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    if config.nodes.is_empty() {
        return Ok(());
    }
    let made = made(config, generation).await?;
    if !is_lost(&made) {
        return Ok(());
    }
    tracing::warn!(generation, ?made, "a shard has lost tables: making them again");
    let clients = config.clients();
    let lost = || clients.iter().zip(&made).filter(|(_, made)| made.is_none()).map(|(client, _)| client);
    let own = cluster::own(config, generation);
    let restored = async {
        for client in lost() {
            for statement in foundation(config, generation)? {
                run(client, &statement).await?;
            }
            run(client, &format!("TRUNCATE TABLE {own}.migrations")).await?;
            make(config, client, generation, &TABLES).await?;
        }
        forget_sequences(config, generation).await?;
        let epochs = format!("{own}.usage_epochs");
        let withdraw = format!("INSERT INTO {epochs} (epoch) VALUES (toUnixTimestamp64Micro(now64(6)))");
        run(&config.client(), &withdraw).await.context("usage_epochs")?;
        for client in lost() {
            if let Some(serving) = serving(config).await? {
                serve_on(config, client, serving).await?;
            }
            run(client, &noted(&own, &versions(&CHANGES))).await?;
        }
        Ok(())
    };
    within(LONGEST, restored).await
}

/// Empties `sequences`, so that they are computed again from the first offset.
///
/// # Errors
/// ClickHouse is out of reach, or inserts into `sequences` take too long.
pub async fn forget_sequences(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    // Positions are deleted first: a claim without rows would be a fault. A mutation deletes them, because the query
    // API counts mutations: an older answer must not count as unchanged once the positions are the same again.
    let positions = cluster::mutable(config, generation, "sequences_positions");
    let delete = format!("ALTER TABLE {positions} DELETE WHERE 1 SETTINGS mutations_sync = 1");
    run(&config.client(), &delete).await.context("sequences_positions")?;
    let truncate = format!("TRUNCATE TABLE {}", cluster::mutable(config, generation, "sequences"));
    for client in config.clients() {
        no_insert(&client).await?;
        run(&client, &truncate).await.context("sequences")?;
    }
    Ok(())
}

/// Waits for inserts into `sequences` that were computed from older rows.
async fn no_insert(client: &Client) -> anyhow::Result<()> {
    let sql = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query ILIKE '%INSERT INTO sequences %'";
    for _ in 0..LOOKS {
        if client.query(sql).fetch_one::<u64>().await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    anyhow::bail!("sequences are still being computed: try again")
}
