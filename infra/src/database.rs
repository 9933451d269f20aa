//! The tables: the client, the generations of the projection, their DDL and the version check.
//!
//! A *generation* N is a whole projection of the log in a database of its own, `eye_gN`. Analysts and
//! the query API read the views of `eye`, which point at the serving generation; re-projection builds
//! the next one beside it and then [`serve`]s it.

use anyhow::{Context, bail, ensure};
use clap::Args;
use clickhouse::Client;
use include_dir::{Dir, include_dir};

/// The DDL: `NNNN_*.sql` for a generation, `views/*.sql` for what readers see. One statement a file,
/// `{database}` and `{views}` stand for the names. An applied file is never edited: add the next number.
static DDL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/clickhouse");

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "ClickHouse")]
pub struct ClickHouseConfig {
    /// Where ClickHouse answers HTTP.
    #[arg(long = "clickhouse-url", env = "EYE_CLICKHOUSE_URL", default_value = "http://127.0.0.1:8123")]
    pub url: String,
    #[arg(long = "clickhouse-user", env = "EYE_CLICKHOUSE_USER", default_value = "default")]
    pub user: String,
    #[arg(
        long = "clickhouse-password",
        env = "EYE_CLICKHOUSE_PASSWORD",
        default_value = "",
        hide_env_values = true
    )]
    pub password: String,
    /// The database of the views; generations live beside it as `<database>_g1`, `<database>_g2`, ...
    #[arg(long = "clickhouse-database", env = "EYE_CLICKHOUSE_DATABASE", default_value = "eye")]
    pub database: String,
}

impl ClickHouseConfig {
    /// A client without a database of its own: statements name theirs.
    pub fn client(&self) -> Client {
        Client::default().with_url(&self.url).with_user(&self.user).with_password(&self.password)
    }

    /// The database of a generation, e.g. `eye_g1`.
    pub fn generation(&self, generation: u32) -> String {
        format!("{}_g{generation}", self.database)
    }
}

/// Creates generation `generation` if it is missing and applies the DDL that it lacks, in order.
/// Safe to run again, also after it died half way: every statement is idempotent.
///
/// # Errors
/// ClickHouse out of reach, a statement that fails (its file is named), a generation that is newer than us.
pub async fn migrate(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    let client = config.client();
    let database = config.generation(generation);
    let run = |sql: String| client.query(&sql).execute();
    run(format!("CREATE DATABASE IF NOT EXISTS {database}"))
        .await
        .with_context(|| format!("ClickHouse at {}", config.url))?;
    run(format!(
        "CREATE TABLE IF NOT EXISTS {database}.migrations (version UInt32, name String, \
         applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY version"
    ))
    .await?;
    let applied = applied_version(&client, &database).await?;
    ensure!(
        applied <= latest_version(),
        "{database} is at version {applied}, newer than this program: upgrade it"
    );
    for (version, name, sql) in statements().filter(|(version, ..)| *version > applied) {
        // A doubled question mark is the crate's way to write one.
        run(sql.replace("{database}", &database).replace('?', "??"))
            .await
            .with_context(|| format!("{name} on {database}"))?;
        client
            .query("INSERT INTO {database:Identifier}.migrations (version, name) VALUES ({version:UInt32}, {name:String})")
            .param("database", &database)
            .param("version", version)
            .param("name", name)
            .execute()
            .await?;
        tracing::info!(database, name, "applied");
    }
    Ok(())
}

/// Points the views of `eye` at a generation. Each view is replaced atomically.
///
/// # Errors
/// ClickHouse out of reach, or a view that does not fit the generation.
pub async fn serve(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    let client = config.client();
    let views = &config.database;
    let database = config.generation(generation);
    client.query(&format!("CREATE DATABASE IF NOT EXISTS {views}")).execute().await?;
    let mut files: Vec<_> = DDL.get_dir("views").into_iter().flat_map(Dir::files).collect();
    files.sort_by_key(|file| file.path());
    for file in files {
        let sql = file.contents_utf8().context("a view is not UTF-8")?;
        let sql = sql.replace("{database}", &database).replace("{views}", views).replace('?', "??");
        client.query(&sql).execute().await.with_context(|| file.path().display().to_string())?;
    }
    // Last: who asks which generation serves gets the new one only once every view shows it.
    client
        .query(&format!(
            "CREATE OR REPLACE VIEW {views}.generation AS SELECT toUInt32({generation}) AS generation, '{database}' AS database"
        ))
        .execute()
        .await?;
    tracing::info!(database, "serving");
    Ok(())
}

/// The generation that the views show, if there is one yet.
///
/// # Errors
/// ClickHouse out of reach.
pub async fn serving(config: &ClickHouseConfig) -> anyhow::Result<Option<u32>> {
    let client = config.client();
    let known: u64 = client
        .query("SELECT count() FROM system.tables WHERE database = {views:String} AND name = 'generation'")
        .param("views", &config.database)
        .fetch_one()
        .await
        .with_context(|| format!("ClickHouse at {}", config.url))?;
    if known == 0 {
        return Ok(None);
    }
    Ok(Some(
        client.query(&format!("SELECT generation FROM {}.generation", config.database)).fetch_one().await?,
    ))
}

/// All generations that exist, oldest first.
///
/// # Errors
/// ClickHouse out of reach.
pub async fn generations(config: &ClickHouseConfig) -> anyhow::Result<Vec<u32>> {
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
/// Missing, older or newer tables; the sentence says what to run.
pub async fn check_version(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    let database = config.generation(generation);
    let found = applied_version(&config.client(), &database).await.unwrap_or(0);
    let wanted = latest_version();
    match found {
        _ if found == wanted => Ok(()),
        0 => bail!("{database} has no tables yet: run `projector migrate`"),
        _ if found < wanted => {
            bail!("{database} is at version {found}, {wanted} is needed: run `projector migrate`")
        }
        _ => bail!("{database} is at version {found}, this program knows {wanted}: upgrade it"),
    }
}

async fn applied_version(client: &Client, database: &str) -> anyhow::Result<u32> {
    Ok(client.query(&format!("SELECT max(version) FROM {database}.migrations")).fetch_one().await?)
}

/// The version of the tables that this program was built for.
pub fn latest_version() -> u32 {
    statements().map(|(version, ..)| version).last().unwrap_or(0)
}

/// (version, file name, statement) of each file, in order.
fn statements() -> impl Iterator<Item = (u32, &'static str, &'static str)> {
    let mut files: Vec<_> = DDL
        .files()
        .filter_map(|file| {
            let name = file.path().file_name()?.to_str()?;
            let version = name.split_once('_')?.0.parse().ok()?;
            Some((version, name, file.contents_utf8()?))
        })
        .collect();
    files.sort_unstable();
    files.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_number_of_its_own() {
        let versions: Vec<u32> = statements().map(|(version, ..)| version).collect();
        assert!(!versions.is_empty());
        assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
        assert_eq!(
            versions.len(),
            DDL.files().filter(|f| f.path().extension().is_some_and(|e| e == "sql")).count()
        );
    }
}
