//! The ClickHouse servers of a generation: one, or one a shard.
//!
//! Each server computes what concerns one session, from its own tables, by statements that name tables without a
//! database. Tables that belong to no shard (the dictionary of features, positions, epochs, horizons) have their rows
//! on the first server. `{all}.table` in a statement is the table with the rows of all servers.

use anyhow::Context;
use clickhouse::Client;
use infra::database::ClickHouseConfig;
use tables::cluster;

#[derive(Clone)]
pub struct Servers {
    /// Clients of the databases with the servers' own tables. Their statements have a lower priority than inserts.
    /// (ClickHouse ignores this without the right to set priorities.)
    each: Vec<Client>,
    config: ClickHouseConfig,
    generation: u32,
}

impl Servers {
    pub fn new(config: &ClickHouseConfig, generation: u32) -> Self {
        let own = cluster::own(config, generation);
        let bound = |client: Client| client.with_database(&own).with_setting("os_thread_priority", "10");
        Self { each: config.clients().into_iter().map(bound).collect(), config: config.clone(), generation }
    }

    pub(crate) fn each(&self) -> &[Client] {
        &self.each
    }

    /// The server with the tables that belong to no shard.
    pub(crate) fn first(&self) -> &Client {
        self.each.first().expect("there is a server")
    }

    pub(crate) async fn forget_sequences(&self) -> anyhow::Result<()> {
        tables::forget_sequences(&self.config, self.generation).await
    }

    /// When the shards' tables were made. A result between two equal answers was computed from whole tables.
    ///
    /// # Errors
    /// A shard lacks tables, or does not answer.
    pub(crate) async fn made(&self) -> anyhow::Result<Vec<i64>> {
        if self.config.nodes.is_empty() {
            return Ok(Vec::new());
        }
        let made = tables::made(&self.config, self.generation).await?;
        made.into_iter()
            .collect::<Option<_>>()
            .context("a shard has lost tables: a projector makes them again")
    }

    pub(crate) fn sql(&self, text: &str) -> String {
        text.replace("{all}.", &self.all())
    }

    /// What stands before the name of a table that has the rows of all servers.
    pub(crate) fn all(&self) -> String {
        format!("{}.", self.config.generation(self.generation))
    }

    /// The name of a table in DELETE and TRUNCATE.
    pub(crate) fn mutable(&self, table: &str) -> String {
        cluster::mutable(&self.config, self.generation, table)
    }
}
