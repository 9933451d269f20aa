//! Generations: how one comes into being, is changed and serves, and which there are.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use clickhouse::Client;
use infra::database::{ClickHouseConfig, SMALL, within};

use crate::cluster;
use crate::ddl::{BASE, CHANGES, TABLES, VIEWS, statements};
use crate::restore::restore;

/// (version, name, statement) of a change.
pub type Change<'a> = (u32, &'a str, &'a str);

/// Creates generation `generation` if it is missing, and changes it if an earlier version of this program made it, on each
/// server. Safe to run again, also after it died half way: every statement is idempotent.
///
/// # Errors
/// ClickHouse out of reach, a statement that fails (its file is named), tables that can't become ours.
pub async fn migrate(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    migrate_by(config, generation, &TABLES, &CHANGES).await
}

/// As [`migrate`], by other statements: how a release changes the tables of the one before.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_by(
    config: &ClickHouseConfig,
    generation: u32,
    tables: &[(&str, &str)],
    changes: &[Change<'_>],
) -> anyhow::Result<()> {
    let (database, own) = (config.generation(generation), cluster::own(config, generation));
    restore(config, generation).await?;
    for url in config.urls() {
        let client = config.client_of(url);
        for statement in foundation(config, generation)? {
            run(&client, &statement).await.with_context(|| format!("ClickHouse at {url}"))?;
        }
        let newest = changes.last().map_or(BASE, |(version, ..)| *version);
        let applied = match applied_version(&client, &own).await? {
            0 => {
                make(config, &client, generation, tables).await?;
                // Nothing is left to change.
                run(&client, &noted(&own, &versions(changes))).await?;
                newest
            }
            applied => applied,
        };
        ensure!(applied >= BASE, before_the_first_release(&database));
        ensure!(applied <= newest, "{database} is at version {applied}, newer than this program: upgrade it");
        for (version, name, sql) in changes.iter().filter(|(version, ..)| *version > applied) {
            let changed = execute(config, &client, sql.replace("{database}", &database)).await;
            changed.with_context(|| format!("{name} on {database}"))?;
            run(&client, &noted(&own, &[(*version, *name)])).await?;
            tracing::info!(database, name, "applied");
        }
    }
    Ok(())
}

/// Makes the tables of a generation on one server, as they are today.
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

/// (version, name) of the tables themselves and of each change that they include.
pub(crate) fn versions<'a>(changes: &[Change<'a>]) -> Vec<(u32, &'a str)> {
    let changed = changes.iter().map(|(version, name, _)| (*version, *name));
    std::iter::once((BASE, "tables")).chain(changed).collect()
}

/// Notes all versions at once, so that none of them is noted without the others.
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
    // A doubled question mark is the crate's way to write one.
    client.query(&statement.replace('?', "??")).execute().await
}

/// Points the views of `eye` at a generation. Each view is replaced atomically, on one server after the other.
///
/// # Errors
/// ClickHouse out of reach, or a view that does not fit the generation.
pub async fn serve(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    for client in config.clients() {
        serve_on(config, &client, generation).await?;
    }
    let database = config.generation(generation);
    tracing::info!(database, "serving");
    Ok(())
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

/// All that [`migrate`] and [`serve`] would run on a ClickHouse without any of it, of shards on each; for people to read
/// or to apply by hand.
///
/// # Errors
/// A statement that has no form on a cluster.
pub fn render(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<String> {
    let database = config.generation(generation);
    let tables = TABLES.iter().flat_map(|(_, sql)| statements(sql));
    let tables = tables.map(|statement| statement.replace("{database}", &database));
    let views = views(config, generation).into_iter().map(|(_, statement)| statement);
    let mut all = foundation(config, generation)?;
    for statement in tables.chain(views) {
        all.extend(cluster::spread(config, statement)?);
    }
    all.push(noted(&cluster::own(config, generation), &versions(&CHANGES)));
    Ok(all.iter().map(|statement| format!("{};\n\n", statement.trim_end())).collect())
}

/// The generation that the views show, if there is one yet.
///
/// # Errors
/// ClickHouse out of reach, or no answer of it within ten seconds: it may hang with its connections open.
pub async fn serving(config: &ClickHouseConfig) -> anyhow::Result<Option<u32>> {
    for url in config.urls() {
        let client = config.client_of(url);
        let asked = async {
            if !has_table(&client, &config.database, "generation").await? {
                return Ok(None);
            }
            client
                .query(&format!("SELECT generation FROM {}.generation", config.database))
                .fetch_one()
                .await
                .map(Some)
        };
        let found = within(SMALL, asked).await.with_context(|| format!("ClickHouse at {url}"))?;
        // A shard whose disk is new has no views yet.
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// All generations that exist, oldest first.
///
/// # Errors
/// ClickHouse out of reach.
pub async fn list(config: &ClickHouseConfig) -> anyhow::Result<Vec<u32>> {
    let prefix = format!("{}_g", config.database);
    let mut numbers = BTreeSet::new();
    for url in config.urls() {
        let names: Vec<String> = config
            .client_of(url)
            .query("SELECT name FROM system.databases WHERE startsWith(name, {prefix:String})")
            .param("prefix", &prefix)
            .fetch_all()
            .await
            .with_context(|| format!("ClickHouse at {url}"))?;
        numbers.extend(names.iter().filter_map(|name| name[prefix.len()..].parse::<u32>().ok()));
    }
    Ok(numbers.into_iter().collect())
}

/// Refuses a generation whose tables are not those that this program was built for.
///
/// # Errors
/// [`OtherVersion`] for missing, older or newer tables; anything else is ClickHouse's, and may pass.
pub async fn check_version(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    let (database, own) = (config.generation(generation), cluster::own(config, generation));
    let mut versions = BTreeSet::new();
    for url in config.urls() {
        let client = config.client_of(url);
        let asked = async {
            match has_table(&client, &own, "migrations").await? {
                true => applied_version(&client, &own).await,
                false => Ok(0),
            }
        };
        versions.insert(within(SMALL, asked).await.with_context(|| format!("ClickHouse at {url}"))?);
    }
    let wanted = latest_version();
    // A shard that has lost its tables gets them again from a projector.
    if versions.len() > 1 {
        versions.remove(&0);
    }
    let found = versions.into_iter().find(|version| *version != wanted).unwrap_or(wanted);
    let what = match found {
        _ if found == wanted => return Ok(()),
        0 => format!("{database} has no tables yet: run `projector migrate`"),
        _ if found < BASE => before_the_first_release(&database),
        _ if found < wanted => {
            format!("{database} is at version {found}, {wanted} is needed: run `projector migrate`")
        }
        _ => format!("{database} is at version {found}, this program knows {wanted}: upgrade it"),
    };
    Err(OtherVersion(what).into())
}

fn before_the_first_release(database: &str) -> String {
    format!(
        "{database} was made before the first release and can't be changed into today's tables: drop it (`DROP DATABASE \
         {database}`), or on one machine remove the folder `clickhouse` of the data directory, then run `projector migrate`; \
         the log brings everything back"
    )
}

/// Why a program does not work with the tables that it found, and what to run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OtherVersion(String);

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

async fn applied_version(client: &Client, database: &str) -> clickhouse::error::Result<u32> {
    client.query(&format!("SELECT max(version) FROM {database}.migrations")).fetch_one().await
}

/// The version of the tables that this program was built for.
pub fn latest_version() -> u32 {
    CHANGES.last().map_or(BASE, |(version, ..)| *version)
}

/// What must be there before the files: the databases and the table of what was applied, on each server.
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
        // What a shard has is its own affair.
        false => statements.push(create),
    }
    statements.extend(cluster::mutations(config, generation));
    Ok(statements)
}

/// (name, statement) of what readers see of a generation, names filled in.
fn views(config: &ClickHouseConfig, generation: u32) -> Vec<(&'static str, String)> {
    let views = &config.database;
    let database = config.generation(generation);
    let mut statements = vec![("database", format!("CREATE DATABASE IF NOT EXISTS {views}"))];
    for (name, sql) in VIEWS {
        statements.push((name, sql.replace("{database}", &database).replace("{views}", views)));
    }
    // Last: who asks which generation serves gets the new one only once every view shows it.
    statements.push((
        "generation",
        format!(
            "CREATE OR REPLACE VIEW {views}.generation DEFINER = CURRENT_USER SQL SECURITY DEFINER AS \
             SELECT toUInt32({generation}) AS generation, '{database}' AS database"
        ),
    ));
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_names_the_server_that_was_asked() {
        let nodes = vec!["http://127.0.0.1:1".into(), "http://127.0.0.1:2".into()];
        let config = ClickHouseConfig { cluster: Some("c".into()), nodes, ..ClickHouseConfig::default() };
        for error in [
            serving(&config).await.unwrap_err(),
            list(&config).await.unwrap_err(),
            check_version(&config, 1).await.unwrap_err(),
            crate::made(&config, 1).await.unwrap_err(),
        ] {
            assert_eq!(error.to_string(), "ClickHouse at http://127.0.0.1:1");
        }
    }

    #[test]
    fn every_statement_has_a_form_on_a_cluster() {
        let config = ClickHouseConfig { cluster: Some("c".into()), ..ClickHouseConfig::default() };
        let script = render(&config, 2).unwrap();
        let is_ddl = |line: &&str| line.starts_with("CREATE ") || line.starts_with("ALTER ");
        let statements = script.lines().filter(is_ddl).count();
        assert_eq!(statements, script.matches(" ON CLUSTER 'c'").count());
        assert!(!script.contains("= MergeTree") && !script.contains("= ReplacingMergeTree"), "{script}");
        for sharded in ["ledger", "events", "rejections", "sequences", "erasures"] {
            assert!(script.contains(&format!("Distributed('c', 'eye_g2_local', '{sharded}', ")), "{sharded}");
        }
        let nodes = vec!["http://a".into(), "http://b".into()];
        let script = render(&ClickHouseConfig { nodes, ..config }, 2).unwrap();
        assert!(!script.contains("ON CLUSTER") && !script.contains("Replicated"), "{script}");
    }

    #[test]
    fn one_server_gets_the_files_as_they_are() {
        let script = render(&ClickHouseConfig::default(), 1).unwrap();
        for (name, sql) in TABLES {
            assert!(script.contains(sql.replace("{database}", "eye_g1").trim_end()), "{name}");
        }
        assert!(!script.contains("CLUSTER"));
    }
}
