//! The tables: the client, the generations of the projection, their DDL and the version check.
//!
//! A *generation* N is a whole projection of the log in a database of its own, `eye_gN`. Analysts and
//! the query API read the views of `eye`, which point at the serving generation; re-projection builds
//! the next one beside it and then [`serve`]s it. On a cluster the same files make replicated and
//! distributed tables (`cluster.rs`).

mod cluster;

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use clickhouse::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use include_dir::{Dir, include_dir};
use tokio::time::timeout;

/// What takes milliseconds is waited for so long.
pub const SMALL: Duration = Duration::from_secs(10);

/// The DDL: `NNNN_*.sql` for a generation, `views/*.sql` for what readers see (with the rights of who made
/// them, so that an analyst needs none on a generation). One statement a file,
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
    /// The cluster to spread the tables over, as system.clusters calls it; without it, one server.
    #[arg(long = "clickhouse-cluster", env = "EYE_CLICKHOUSE_CLUSTER", value_name = "NAME", value_parser = cluster_name)]
    pub cluster: Option<String>,
}

fn cluster_name(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        true => Ok(text.into()),
        false => Err("a cluster's name has letters, digits, _ and - only".into()),
    }
}

impl ClickHouseConfig {
    /// A client without a database of its own: statements name theirs.
    pub fn client(&self) -> Client {
        // As the crate's own, but without Nagle's algorithm: a statement whose body comes in pieces would wait for the
        // acknowledgement of its head, which the other side may delay by 40 ms.
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // Below the 3 s after which ClickHouse may close an idle connection.
            .pool_idle_timeout(Duration::from_secs(2))
            .build(connector);
        let client = Client::with_http_client(http)
            .with_url(&self.url)
            .with_user(&self.user)
            .with_password(&self.password);
        match self.cluster {
            // A table in a subquery means the shard's own: sharded by session, what belongs together is there. By
            // default ClickHouse refuses such subqueries once there are two shards.
            Some(_) => client.with_setting("distributed_product_mode", "local"),
            None => client,
        }
    }

    /// The database of a generation, e.g. `eye_g1`.
    pub fn generation(&self, generation: u32) -> String {
        format!("{}_g{generation}", self.database)
    }

    /// What a table must be called in `ALTER TABLE ... UPDATE` or `DELETE`, which a distributed table
    /// does not take: `eye_g1.ledger`, or `eye_g1.ledger_local ON CLUSTER 'name'`.
    pub fn mutable(&self, database: &str, table: &str) -> String {
        format!("{database}.{}{}", self.local(table), self.on_cluster())
    }

    /// The table that has the rows: of a cluster's distributed table, the one on each server. Others have them themselves.
    pub fn local(&self, table: &str) -> String {
        let is_distributed = self.cluster.is_some() && cluster::is_sharded(table).unwrap_or(false);
        format!("{table}{}", if is_distributed { cluster::LOCAL } else { "" })
    }

    /// A table of `system` as all servers have it, each with rows of its own.
    pub fn of_all_servers(&self, table: &str) -> String {
        match &self.cluster {
            Some(cluster) => format!("clusterAllReplicas('{cluster}', system.{table})"),
            None => format!("system.{table}"),
        }
    }

    /// What follows a name in DDL: nothing, or ` ON CLUSTER 'name'`.
    pub fn on_cluster(&self) -> String {
        self.cluster.as_ref().map(|cluster| format!(" ON CLUSTER '{cluster}'")).unwrap_or_default()
    }

    /// A statement of the DDL, names filled in, as the statements that do it here.
    fn spread(&self, statement: String) -> anyhow::Result<Vec<String>> {
        match &self.cluster {
            Some(cluster) => cluster::rewrite(&statement, cluster),
            None => Ok(vec![statement]),
        }
    }

    async fn execute(&self, client: &Client, statement: String) -> anyhow::Result<()> {
        for statement in self.spread(statement)? {
            // A doubled question mark is the crate's way to write one.
            client.query(&statement.replace('?', "??")).execute().await?;
        }
        Ok(())
    }
}

/// Creates generation `generation` if it is missing and applies the DDL that it lacks, in order.
/// Safe to run again, also after it died half way: every statement is idempotent.
///
/// # Errors
/// ClickHouse out of reach, a statement that fails (its file is named), a generation that is newer than us.
pub async fn migrate(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    migrate_to(config, generation, latest_version()).await
}

/// As [`migrate`], no further than `last`: what an earlier version of this program would have made.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_to(config: &ClickHouseConfig, generation: u32, last: u32) -> anyhow::Result<()> {
    let client = config.client();
    let database = config.generation(generation);
    for statement in foundation(&database) {
        config.execute(&client, statement).await.with_context(|| format!("ClickHouse at {}", config.url))?;
    }
    let applied = applied_version(&client, &database).await?;
    ensure!(
        applied <= latest_version(),
        "{database} is at version {applied}, newer than this program: upgrade it"
    );
    for (version, name, sql) in statements().filter(|(version, ..)| (applied + 1..=last).contains(version)) {
        config
            .execute(&client, sql.replace("{database}", &database))
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
    for (name, statement) in views(config, generation)? {
        config.execute(&client, statement).await.with_context(|| name)?;
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
    let mut add = |statement: String| -> anyhow::Result<()> {
        for statement in config.spread(statement)? {
            script.push_str(statement.trim_end());
            script.push_str(";\n\n");
        }
        Ok(())
    };
    foundation(&database).into_iter().try_for_each(&mut add)?;
    statements().try_for_each(|(_, _, sql)| add(sql.replace("{database}", &database)))?;
    views(config, generation)?.into_iter().try_for_each(|(_, statement)| add(statement))?;
    let applied: Vec<String> =
        statements().map(|(version, name, _)| format!("({version}, '{name}')")).collect();
    script += &format!("INSERT INTO {database}.migrations (version, name) VALUES {};\n", applied.join(", "));
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

/// `work` on a ClickHouse that may hang, or be gone without a word, with its connections open: its own limits of time
/// are no bound then. Keep `limit` above them.
///
/// It also bounds what no server is to blame for: where a runtime has several threads, hyper (1.12, with tokio 1.54) may
/// take a request for a connection that closes at that moment on another thread, and then never answers.
///
/// # Errors
/// Those of `work`, and [`clickhouse::error::Error::TimedOut`].
pub async fn within<T, E: From<clickhouse::error::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(clickhouse::error::Error::TimedOut.into()))
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
        _ if found < wanted => {
            format!("{database} is at version {found}, {wanted} is needed: run `projector migrate`")
        }
        _ => format!("{database} is at version {found}, this program knows {wanted}: upgrade it"),
    };
    Err(OtherVersion(what).into())
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
    statements().map(|(version, ..)| version).last().unwrap_or(0)
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

/// (file name, statement) of what readers see of a generation, names filled in.
fn views(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<Vec<(String, String)>> {
    let views = &config.database;
    let database = config.generation(generation);
    let mut files: Vec<_> = DDL.get_dir("views").into_iter().flat_map(Dir::files).collect();
    files.sort_by_key(|file| file.path());
    let mut statements = vec![(views.clone(), format!("CREATE DATABASE IF NOT EXISTS {views}"))];
    for file in files {
        let sql = file.contents_utf8().context("a view is not UTF-8")?;
        let sql = sql.replace("{database}", &database).replace("{views}", views);
        statements.push((file.path().display().to_string(), sql));
    }
    // Last: who asks which generation serves gets the new one only once every view shows it.
    statements.push((
        "generation".into(),
        format!(
            "CREATE OR REPLACE VIEW {views}.generation DEFINER = CURRENT_USER SQL SECURITY DEFINER AS \
             SELECT toUInt32({generation}) AS generation, '{database}' AS database"
        ),
    ));
    Ok(statements)
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

    fn config(cluster: Option<&str>) -> ClickHouseConfig {
        ClickHouseConfig {
            url: String::new(),
            user: String::new(),
            password: String::new(),
            database: "eye".into(),
            cluster: cluster.map(Into::into),
        }
    }

    #[test]
    fn every_file_has_a_form_on_a_cluster() {
        let script = render(&config(Some("c")), 2).unwrap();
        let is_ddl = |line: &&str| line.starts_with("CREATE ") || line.starts_with("ALTER ");
        let statements = script.lines().filter(is_ddl).count();
        assert_eq!(statements, script.matches(" ON CLUSTER 'c'").count());
        assert!(!script.contains("= MergeTree") && !script.contains("= ReplacingMergeTree"), "{script}");
        for sharded in ["ledger", "events", "rejections", "sequences"] {
            assert!(script.contains(&format!("Distributed('c', 'eye_g2', '{sharded}_local', ")), "{sharded}");
        }
        for table in ["ledger", "events", "rejections", "sequences"] {
            let expected = format!("eye_g2.{table}_local ON CLUSTER 'c'");
            assert_eq!(config(Some("c")).mutable("eye_g2", table), expected);
        }
        // Names no session, so it is whole on every server.
        assert_eq!(config(Some("c")).mutable("eye_g2", "erasures"), "eye_g2.erasures ON CLUSTER 'c'");
        assert_eq!(config(Some("c")).of_all_servers("parts"), "clusterAllReplicas('c', system.parts)");
    }

    #[test]
    fn one_server_gets_the_files_as_they_are() {
        let script = render(&config(None), 1).unwrap();
        for (_, name, sql) in statements() {
            assert!(script.contains(sql.replace("{database}", "eye_g1").trim_end()), "{name}");
        }
        assert!(!script.contains("CLUSTER"));
        assert_eq!(config(None).mutable("eye_g1", "ledger"), "eye_g1.ledger");
    }

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
