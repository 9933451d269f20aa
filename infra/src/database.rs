//! ClickHouse: where it is, how to speak to it, and how long to wait for it.

use std::time::Duration;

use clap::Args;
use clickhouse::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// How long to wait for a statement that takes milliseconds.
pub const SMALL: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "ClickHouse")]
pub struct ClickHouseConfig {
    /// The URL of ClickHouse (HTTP).
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
    /// A file with the password, so that it stays out of the environment.
    #[arg(
        long = "clickhouse-password-file",
        env = "EYE_CLICKHOUSE_PASSWORD_FILE",
        value_name = "FILE",
        value_parser = first_line,
        conflicts_with = "password"
    )]
    pub password_in_file: Option<String>,
    /// The database of the views; generations live beside it as `<database>_g1`, `<database>_g2`, ...
    #[arg(long = "clickhouse-database", env = "EYE_CLICKHOUSE_DATABASE", default_value = "eye")]
    pub database: String,
    /// The name of the cluster that has the tables, as in system.clusters. Without it there is one server.
    #[arg(long = "clickhouse-cluster", env = "EYE_CLICKHOUSE_CLUSTER", value_name = "NAME", value_parser = cluster_name)]
    pub cluster: Option<String>,
    /// The URLs of all shards of the cluster, if each is one server without replicas. Their order must never change;
    /// the first one is asked. The URL above is not used then. Without them the cluster is a replicated one, with
    /// ClickHouse Keeper.
    #[arg(
        long = "clickhouse-nodes",
        env = "EYE_CLICKHOUSE_NODES",
        value_name = "URL,URL",
        value_delimiter = ',',
        requires = "cluster"
    )]
    pub nodes: Vec<String>,
}

fn cluster_name(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        true => Ok(text.into()),
        false => Err("a cluster's name has letters, digits, _ and - only".into()),
    }
}

/// The defaults of the command line.
impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".into(),
            user: "default".into(),
            password: String::new(),
            password_in_file: None,
            database: "eye".into(),
            cluster: None,
            nodes: Vec::new(),
        }
    }
}

fn first_line(file: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read it: {error}"))?;
    Ok(text.lines().next().unwrap_or_default().into())
}

impl ClickHouseConfig {
    /// A client of the only server, or of the first shard. It has no database: statements name theirs.
    pub fn client(&self) -> Client {
        self.client_of(self.nodes.first().unwrap_or(&self.url))
    }

    /// A client of each of [`Self::urls`].
    pub fn clients(&self) -> Vec<Client> {
        self.urls().iter().map(|url| self.client_of(url)).collect()
    }

    /// The servers that have tables of their own and are asked one by one: the shards, or the only server.
    pub fn urls(&self) -> &[String] {
        match self.nodes.is_empty() {
            true => std::slice::from_ref(&self.url),
            false => &self.nodes,
        }
    }

    /// A client of one of [`Self::urls`].
    pub fn client_of(&self, url: &str) -> Client {
        // As the crate's own, but without Nagle's algorithm: a statement whose body comes in pieces would wait for the
        // acknowledgement of its head, which the other side may delay by 40 ms.
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // Below the 3 s after which ClickHouse may close an idle connection.
            .pool_idle_timeout(Duration::from_secs(2))
            .build(connector);
        let client =
            Client::with_http_client(http).with_url(url).with_user(&self.user).with_password(self.password());
        match self.cluster {
            // A table in a subquery means the shard's own: sharding by session keeps together what belongs together.
            // By default ClickHouse refuses such subqueries once there are two shards.
            Some(_) => client
                .with_setting("distributed_product_mode", "local")
                // ClickHouse 26.7 writes a DateTime64 of such a condition so that a shard can't read it (Code 41).
                .with_setting("allow_push_predicate_ast_for_distributed_subqueries", "0")
                // An insert succeeds once the shards have the rows.
                .with_setting("distributed_foreground_insert", "1"),
            None => client,
        }
    }

    /// The password of the user.
    pub fn password(&self) -> &str {
        self.password_in_file.as_ref().unwrap_or(&self.password)
    }

    /// The database of a generation, e.g. `eye_g1`.
    pub fn generation(&self, generation: u32) -> String {
        format!("{}_g{generation}", self.database)
    }

    /// The cluster, if it is a replicated one: its servers can't be asked one by one.
    fn replicated(&self) -> Option<&str> {
        self.cluster.as_deref().filter(|_| self.nodes.is_empty())
    }

    /// A table of `system` with the rows of all servers behind each of [`Self::clients`].
    pub fn of_all_servers(&self, table: &str) -> String {
        match self.replicated() {
            Some(cluster) => format!("clusterAllReplicas('{cluster}', system.{table})"),
            None => format!("system.{table}"),
        }
    }

    /// The end of a name in DDL: nothing, or ` ON CLUSTER 'name'`.
    pub fn on_cluster(&self) -> String {
        self.replicated().map(|cluster| format!(" ON CLUSTER '{cluster}'")).unwrap_or_default()
    }
}

/// Bounds `work` on a ClickHouse that may hang, or be gone without closing its connections. Its own limits of time are
/// no bound then. Keep `limit` above them.
///
/// It also bounds a fault that is no server's: in a runtime with several threads hyper (1.12, with tokio 1.54) may take
/// a request for a connection that closes at that moment on another thread, and then never answers.
///
/// # Errors
/// Those of `work`, and [`clickhouse::error::Error::TimedOut`].
pub async fn within<T, E: From<clickhouse::error::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(clickhouse::error::Error::TimedOut.into()))
}

/// The number of an exception of ClickHouse. It answers `Code: N. DB::Exception: ...`, also in the middle of a stream.
pub fn exception_code(error: &clickhouse::error::Error) -> Option<u32> {
    let clickhouse::error::Error::BadResponse(text) = error else { return None };
    let (_, rest) = text.split_once("Code: ")?;
    rest.split_once(|c: char| !c.is_ascii_digit())?.0.parse().ok()
}

/// What to say if ClickHouse refuses the user or the password, which no waiting mends.
pub fn refused_login(config: &ClickHouseConfig, error: &anyhow::Error) -> Option<String> {
    /// AUTHENTICATION_FAILED
    const REFUSED: u32 = 516;
    let found = error.chain().find_map(|cause| cause.downcast_ref::<clickhouse::error::Error>())?;
    (exception_code(found) == Some(REFUSED)).then(|| {
        format!(
            "ClickHouse refuses user {} with this password: check EYE_CLICKHOUSE_USER, and EYE_CLICKHOUSE_PASSWORD or \
             EYE_CLICKHOUSE_PASSWORD_FILE",
            config.user
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_the_password() {
        #[derive(clap::Parser, Debug)]
        struct Line {
            #[command(flatten)]
            clickhouse: ClickHouseConfig,
        }
        let file = std::env::temp_dir().join(format!("the-eye-password-{}", std::process::id()));
        std::fs::write(&file, "it's secret\n").unwrap();
        let parse = |more: &[&str]| {
            let path = file.to_str().unwrap();
            <Line as clap::Parser>::try_parse_from([&["", "--clickhouse-password-file", path], more].concat())
        };
        let line = parse(&[]).unwrap();
        assert_eq!(line.clickhouse.password_in_file.as_deref(), Some("it's secret"));
        assert!(
            parse(&["--clickhouse-password", "x"]).unwrap_err().to_string().contains("cannot be used with")
        );
        std::fs::remove_file(&file).unwrap();
        assert!(parse(&[]).unwrap_err().to_string().contains("cannot read it"));
    }

    #[test]
    fn every_server_of_a_cluster_has_tables_of_its_own() {
        let one = ClickHouseConfig::default();
        let many = ClickHouseConfig { cluster: Some("c".into()), ..one.clone() };
        assert_eq!(one.of_all_servers("parts"), "system.parts");
        assert_eq!(many.of_all_servers("parts"), "clusterAllReplicas('c', system.parts)");
        let shards = ClickHouseConfig { nodes: vec!["http://a".into(), "http://b".into()], ..many };
        assert_eq!(shards.of_all_servers("parts"), "system.parts");
        assert_eq!((one.clients().len(), shards.clients().len()), (1, 2));
    }

    #[test]
    fn reads_the_code_of_an_exception() {
        let code = |text: &str| exception_code(&clickhouse::error::Error::BadResponse(text.into()));
        assert_eq!(code("Code: 241. DB::Exception: Query memory limit"), Some(241));
        assert_eq!(code("bad response: Code: 159. DB::Exception"), Some(159));
        assert_eq!(code("no code"), None);
        assert_eq!(exception_code(&clickhouse::error::Error::TimedOut), None);
    }
}
