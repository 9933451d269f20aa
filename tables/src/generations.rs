//! Generations: how one comes into being, is changed and serves, and which there are.

use anyhow::{Context, ensure};
use clickhouse::Client;
use infra::database::{ClickHouseConfig, SMALL, within};

use crate::cluster;
use crate::ddl::{BASE, CHANGES, TABLES, VIEWS, statements};

/// (version, name, statement) of a change.
pub type Change<'a> = (u32, &'a str, &'a str);

/// Creates generation `generation` if it is missing, and changes it if an earlier version of this program made it.
/// Safe to run again, also after it died half way: every statement is idempotent.
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
    let client = config.client();
    let database = config.generation(generation);
    for statement in foundation(&database) {
        execute(config, &client, statement).await.with_context(|| format!("ClickHouse at {}", config.url))?;
    }
    let newest = changes.last().map_or(BASE, |(version, ..)| *version);
    let applied = match applied_version(&client, &database).await? {
        0 => {
            for (name, sql) in tables {
                for statement in statements(sql) {
                    let made = execute(config, &client, statement.replace("{database}", &database)).await;
                    made.with_context(|| format!("{name} on {database}"))?;
                }
            }
            // Made as they are today: nothing is left to change.
            note(config, &database, &versions(changes)).await?;
            tracing::info!(database, version = newest, "tables made");
            newest
        }
        applied => applied,
    };
    ensure!(applied >= BASE, before_the_first_release(&database));
    ensure!(applied <= newest, "{database} is at version {applied}, newer than this program: upgrade it");
    for (version, name, sql) in changes.iter().filter(|(version, ..)| *version > applied) {
        let changed = execute(config, &client, sql.replace("{database}", &database)).await;
        changed.with_context(|| format!("{name} on {database}"))?;
        note(config, &database, &[(*version, *name)]).await?;
        tracing::info!(database, name, "applied");
    }
    Ok(())
}

/// (version, name) of the tables themselves and of each change that they include.
fn versions<'a>(changes: &[Change<'a>]) -> Vec<(u32, &'a str)> {
    let changed = changes.iter().map(|(version, name, _)| (*version, *name));
    std::iter::once((BASE, "tables")).chain(changed).collect()
}

/// What [`note`] runs: all versions at once, so that none of them is noted without the others.
fn noted(database: &str, versions: &[(u32, &str)]) -> String {
    let rows: Vec<String> = versions.iter().map(|(version, name)| format!("({version}, '{name}')")).collect();
    format!("INSERT INTO {database}.migrations (version, name) VALUES {}", rows.join(", "))
}

async fn note(config: &ClickHouseConfig, database: &str, versions: &[(u32, &str)]) -> anyhow::Result<()> {
    Ok(config.client().query(&noted(database, versions)).execute().await?)
}

async fn execute(config: &ClickHouseConfig, client: &Client, statement: String) -> anyhow::Result<()> {
    for statement in cluster::spread(config, statement)? {
        // A doubled question mark is the crate's way to write one.
        client.query(&statement.replace('?', "??")).execute().await?;
    }
    Ok(())
}

/// Points the views of `eye` at a generation. Each view is replaced atomically.
///
/// # Errors
/// ClickHouse out of reach, or a view that does not fit the generation.
pub async fn serve(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    let client = config.client();
    for (name, statement) in views(config, generation) {
        execute(config, &client, statement).await.context(name)?;
    }
    let database = config.generation(generation);
    tracing::info!(database, "serving");
    Ok(())
}

/// All that [`migrate`] and [`serve`] would run on a ClickHouse without any of it, for people to read or to
/// apply by hand.
///
/// # Errors
/// A statement that has no form on a cluster.
pub fn render(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<String> {
    let database = config.generation(generation);
    let mut script = String::new();
    let tables = TABLES.iter().flat_map(|(_, sql)| statements(sql));
    let tables = tables.map(|statement| statement.replace("{database}", &database));
    let views = views(config, generation).into_iter().map(|(_, statement)| statement);
    for statement in foundation(&database).into_iter().chain(tables).chain(views) {
        for statement in cluster::spread(config, statement)? {
            script.push_str(statement.trim_end());
            script.push_str(";\n\n");
        }
    }
    script += &format!("{};\n", noted(&database, &versions(&CHANGES)));
    Ok(script)
}

/// The generation that the views show, if there is one yet.
///
/// # Errors
/// ClickHouse out of reach, or no answer of it within ten seconds: it may hang with its connections open.
pub async fn serving(config: &ClickHouseConfig) -> anyhow::Result<Option<u32>> {
    let client = config.client();
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
    within(SMALL, asked).await.with_context(|| format!("ClickHouse at {}", config.url))
}

/// All generations that exist, oldest first.
///
/// # Errors
/// ClickHouse out of reach.
pub async fn list(config: &ClickHouseConfig) -> anyhow::Result<Vec<u32>> {
    let prefix = format!("{}_g", config.database);
    let names: Vec<String> = config
        .client()
        .query("SELECT name FROM system.databases WHERE startsWith(name, {prefix:String})")
        .param("prefix", &prefix)
        .fetch_all()
        .await?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name[prefix.len()..].parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Refuses a generation whose tables are not those that this program was built for.
///
/// # Errors
/// [`OtherVersion`] for missing, older or newer tables; anything else is ClickHouse's, and may pass.
pub async fn check_version(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    let database = config.generation(generation);
    let client = config.client();
    let asked = async {
        match has_table(&client, &database, "migrations").await? {
            true => applied_version(&client, &database).await,
            false => Ok(0),
        }
    };
    let found = within(SMALL, asked).await.with_context(|| format!("ClickHouse at {}", config.url))?;
    let wanted = latest_version();
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

async fn has_table(client: &Client, database: &str, name: &str) -> clickhouse::error::Result<bool> {
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

/// What must be there before the files: the database and the table of what was applied.
fn foundation(database: &str) -> [String; 2] {
    [
        format!("CREATE DATABASE IF NOT EXISTS {database}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.migrations (version UInt32, name String, \
             applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY version"
        ),
    ]
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

    fn config(cluster: Option<&str>) -> ClickHouseConfig {
        ClickHouseConfig { cluster: cluster.map(Into::into), ..ClickHouseConfig::default() }
    }

    #[test]
    fn every_statement_has_a_form_on_a_cluster() {
        let script = render(&config(Some("c")), 2).unwrap();
        let is_ddl = |line: &&str| line.starts_with("CREATE ") || line.starts_with("ALTER ");
        let statements = script.lines().filter(is_ddl).count();
        assert_eq!(statements, script.matches(" ON CLUSTER 'c'").count());
        assert!(!script.contains("= MergeTree") && !script.contains("= ReplacingMergeTree"), "{script}");
        for sharded in ["ledger", "events", "rejections", "sequences"] {
            assert!(script.contains(&format!("Distributed('c', 'eye_g2', '{sharded}_local', ")), "{sharded}");
        }
    }

    #[test]
    fn one_server_gets_the_files_as_they_are() {
        let script = render(&config(None), 1).unwrap();
        for (name, sql) in TABLES {
            assert!(script.contains(sql.replace("{database}", "eye_g1").trim_end()), "{name}");
        }
        assert!(!script.contains("CLUSTER"));
    }
}
