//! The ClickHouse servers of a generation: one, or each shard by itself.
//!
//! A shard that has lost its tables (a new disk) gets them again, and the audit fills them from the log.
//!
//! What is computed from rows that share a server (a session's) is computed on each server from its own tables, by
//! statements that name tables without a database. What belongs to no shard (the dictionary of features, positions,
//! epochs, horizons) has its rows on the first server. `{all}.table` in a statement is the table with the rows of all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clickhouse::Client;
use infra::database::ClickHouseConfig;
use tables::cluster;

use crate::work::Work;

/// Between two looks whether every shard has its tables.
const LOOK: Duration = Duration::from_secs(3);

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

    /// Forgets all sequences, and how far they included the log.
    pub(crate) async fn forget_sequences(&self) -> anyhow::Result<()> {
        tables::forget_sequences(&self.config, self.generation).await
    }

    /// When the shards' tables were made. What is computed between two equal answers was computed from whole tables.
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
            .context("a shard has lost tables, which come back in a moment")
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

/// Looks after the shards for ever.
pub(crate) async fn watch(work: Arc<Work>) {
    let config = &work.config.clickhouse;
    if config.nodes.is_empty() {
        return;
    }
    let servers = work.database.servers();
    let (mut before, mut lost) = (None, BTreeSet::new());
    loop {
        // One projector is enough, and partition 0 is one projector's.
        if work.owned().contains(&0)
            && let Err(error) = restore(&work, &mut lost).await
        {
            tracing::warn!(error = format!("{error:#}"), "a shard's tables could not be made again");
        }
        match servers.made().await {
            Ok(made) => {
                if before.as_ref().is_some_and(|before| *before != made) {
                    tracing::warn!("tables of a shard were made anew: looking for what they lack");
                    work.audit.notify_one();
                }
                before = Some(made);
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the shards' tables are unknown"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Of every generation, as those that are kept can be served again; `lost` when it was looked at before. One that is just
/// being made or dropped is on some servers only, too.
async fn restore(work: &Work, lost: &mut BTreeSet<u32>) -> anyhow::Result<()> {
    let config = &work.config.clickhouse;
    let mut now = BTreeSet::new();
    for generation in tables::list(config).await? {
        if tables::is_lost(&tables::made(config, generation).await?) {
            now.insert(generation);
        }
    }
    let before = std::mem::replace(lost, now);
    for generation in before.intersection(lost) {
        tables::restore(config, *generation).await?;
    }
    Ok(())
}
