//! The ClickHouse servers of a generation: one, or each shard by itself.
//!
//! A shard that has lost its tables (a new disk) gets them again, and the audit fills them from the log.
//!
//! What is computed from rows that share a server (a session's) is computed on each server from its own tables, by
//! statements that name tables without a database. What belongs to no shard (the dictionary of features, positions,
//! epochs, horizons) has its rows on the first server. `{all}.table` in a statement is the table with the rows of all.

use std::sync::Arc;
use std::time::Duration;

use ::tables::cluster;
use clickhouse::Client;
use infra::database::ClickHouseConfig;

use crate::work::Work;
use crate::{sequences, usage};

/// Between two looks whether every shard has its tables.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Servers {
    /// Bound to the databases with their own tables. Their statements go behind the inserts: they have time. (ClickHouse
    /// does nothing about it without the right to set priorities.)
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

    /// The one with what belongs to no shard.
    pub(crate) fn first(&self) -> &Client {
        self.each.first().expect("there is a server")
    }

    /// Empties `sequences` wherever it is.
    async fn forget(&self) {
        for server in &self.each {
            let truncate = format!("TRUNCATE TABLE IF EXISTS {}", self.mutable("sequences"));
            if let Err(error) = server.query_raw(&truncate).execute().await {
                tracing::debug!(%error, "no sequences to forget");
            }
        }
    }

    /// A statement whose `{all}` is filled in.
    pub(crate) fn sql(&self, text: &str) -> String {
        text.replace("{all}", &self.config.generation(self.generation))
    }

    /// What a table is called in DELETE and TRUNCATE.
    pub(crate) fn mutable(&self, table: &str) -> String {
        cluster::mutable(&self.config, self.generation, table)
    }
}

/// Looks after the shards for ever. One server alone is whoever's who dropped its tables.
pub(crate) async fn watch(work: Arc<Work>) {
    let config = &work.config.clickhouse;
    if config.nodes.is_empty() {
        return;
    }
    let mut before = Vec::new();
    loop {
        match look(&work).await {
            Ok(made) => {
                if !before.is_empty() && before != made {
                    tracing::warn!("tables of a shard were made anew: looking for what they lack");
                    work.audit.notify_one();
                }
                before = made;
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the shards' tables are unknown"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// When each shard's tables were made. Those that are gone are made again if another shard still has them.
async fn look(work: &Work) -> anyhow::Result<Vec<Option<i64>>> {
    let (config, servers) = (&work.config.clickhouse, work.tables.servers());
    let made = ::tables::made(config, servers.generation).await?;
    // One projector is enough, and partition 0 is one projector's.
    let is_mine = work.owned().contains(&0);
    if !is_mine || made.iter().all(Option::is_some) || made.iter().all(Option::is_none) {
        return Ok(made);
    }
    let _turn = work.turn.lock().await;
    tracing::warn!(?made, "a shard has lost tables: making them again");
    // The dictionary may be gone, and with it what the numbers in `sequences` and in the days of use mean. They go first:
    // as long as a table is missing nobody writes new ones.
    servers.forget().await;
    ::tables::restore(config, servers.generation).await?;
    sequences::begin_anew(&servers).await?;
    usage::withdraw(&servers).await?;
    ::tables::made(config, servers.generation).await
}
