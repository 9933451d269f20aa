//! Makes the tables and views of a generation on one server.

use anyhow::Context;
use clickhouse::Client;
use infra::database::ClickHouseConfig;

use crate::cluster;
use crate::ddl::{BASE, Change, VIEWS, statements};

pub(crate) async fn make(
    config: &ClickHouseConfig,
    client: &Client,
    generation: u32,
    tables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let database = config.generation(generation);
    for (name, sql) in tables {
        for statement in statements(sql) {
            let made = execute(config, client, statement.replace("{database}", &database)).await;
            made.with_context(|| format!("{name} on {database}"))?;
        }
    }
    tracing::info!(database, "tables made");
    Ok(())
}

/// (version, name) of the tables and of each change that they include.
pub(crate) fn versions<'a>(changes: &[Change<'a>]) -> Vec<(u32, &'a str)> {
    let changed = changes.iter().map(|(version, name, _)| (*version, *name));
    std::iter::once((BASE, "tables")).chain(changed).collect()
}

/// Records all versions in one insert, so that they are recorded all or none.
pub(crate) fn noted(own: &str, versions: &[(u32, &str)]) -> String {
    let rows: Vec<String> = versions.iter().map(|(version, name)| format!("({version}, '{name}')")).collect();
    format!("INSERT INTO {own}.migrations (version, name) VALUES {}", rows.join(", "))
}

pub(crate) async fn execute(
    config: &ClickHouseConfig,
    client: &Client,
    statement: String,
) -> anyhow::Result<()> {
    for statement in cluster::spread(config, statement)? {
        run(client, &statement).await?;
    }
    Ok(())
}

pub(crate) async fn run(client: &Client, statement: &str) -> clickhouse::error::Result<()> {
    // The crate `clickhouse` takes a doubled question mark for one.
    client.query(&statement.replace('?', "??")).execute().await
}

pub(crate) async fn serve_on(
    config: &ClickHouseConfig,
    client: &Client,
    generation: u32,
) -> anyhow::Result<()> {
    for (name, statement) in views(config, generation) {
        execute(config, client, statement).await.context(name)?;
    }
    Ok(())
}

pub(crate) async fn has_table(
    client: &Client,
    database: &str,
    name: &str,
) -> clickhouse::error::Result<bool> {
    let known: u64 = client
        .query(
            "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        )
        .param("database", database)
        .param("name", name)
        .fetch_one()
        .await?;
    Ok(known > 0)
}

pub(crate) async fn applied_version(client: &Client, database: &str) -> clickhouse::error::Result<u32> {
    client.query(&format!("SELECT max(version) FROM {database}.migrations")).fetch_one().await
}

/// The databases and the table of applied versions, which must exist on each server before the files run.
pub(crate) fn foundation(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<Vec<String>> {
    let mut statements = Vec::new();
    for database in cluster::databases(config, generation) {
        let create = format!("CREATE DATABASE IF NOT EXISTS {database}");
        statements.extend(cluster::spread(config, create)?);
    }
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {}.migrations (version UInt32, name String, \
         applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY version",
        cluster::own(config, generation)
    );
    match config.nodes.is_empty() {
        true => statements.extend(cluster::spread(config, create)?),
        // Each shard has its own versions.
        false => statements.push(create),
    }
    statements.extend(cluster::mutations(config, generation));
    Ok(statements)
}

/// (name, statement) of the views of a generation, names filled in.
pub(crate) fn views(config: &ClickHouseConfig, generation: u32) -> Vec<(&'static str, String)> {
    let views = &config.database;
    let database = config.generation(generation);
    let mut statements = vec![("database", format!("CREATE DATABASE IF NOT EXISTS {views}"))];
    for (name, sql) in VIEWS {
        statements.push((name, sql.replace("{database}", &database).replace("{views}", views)));
    }
    // Last, so that a reader learns of a new generation only once every view shows it.
    statements.push((
        "generation",
        format!(
            "CREATE OR REPLACE VIEW {views}.generation DEFINER = CURRENT_USER SQL SECURITY DEFINER AS \
             SELECT toUInt32({generation}) AS generation, '{database}' AS database"
        ),
    ));
    statements
}
