//! Which generations exist, which one serves, and whether this program fits it.

use std::collections::BTreeSet;

use anyhow::Context;
use infra::database::{ClickHouseConfig, SMALL, within};

use crate::cluster;
use crate::ddl::{BASE, CHANGES};
use crate::make::{applied_version, has_table};

/// The generation that the views show, if any.
///
/// # Errors
/// ClickHouse is out of reach, or does not answer within ten seconds: it may hang with its connections open.
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
        // A shard with a new disk has no views yet.
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// All generations, oldest first.
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

/// Refuses a generation whose tables are of another version than this program's.
///
/// # Errors
/// [`OtherVersion`] for missing, older or newer tables. Any other error is ClickHouse's, and may pass.
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
    // A projector makes the tables of a shard that has lost them.
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

/// Why this program does not fit the tables, and what to run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OtherVersion(String);

/// The version of this program's tables.
pub fn latest_version() -> u32 {
    CHANGES.last().map_or(BASE, |(version, ..)| *version)
}

pub(crate) fn before_the_first_release(database: &str) -> String {
    format!(
        "{database} was made before the first release and can't be changed into today's tables: drop it (`DROP DATABASE \
         {database}`), or on one machine remove the folder `clickhouse` of the data directory, then run `projector migrate`; \
         the log brings everything back"
    )
}
