//! Makes the tables of a shard that has lost them (a new disk) again. The audit then fills them from the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::work::Work;

/// How long the task waits between two looks whether every shard has its tables.
const LOOK: Duration = Duration::from_secs(3);

pub(crate) async fn watch(work: Arc<Work>) {
    let config = &work.config.clickhouse;
    if config.nodes.is_empty() {
        return;
    }
    let servers = work.database.servers();
    let (mut before, mut lost) = (None, BTreeSet::new());
    loop {
        // One projector is enough: the owner of partition 0.
        if work.progress.owned().contains(&0)
            && let Err(error) = restore(&work, &mut lost).await
        {
            tracing::warn!(error = format!("{error:#}"), "a shard's tables could not be made again");
        }
        match servers.made().await {
            Ok(made) => {
                if before.as_ref().is_some_and(|before| *before != made) {
                    tracing::warn!("a shard's tables were made again: the audit fills them from the log");
                    work.audit.notify_one();
                }
                before = Some(made);
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the shards' tables are unknown"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Restores every generation, because one that is kept can be served again. `lost` are the generations that the last
/// look found incomplete: one that is just being made or dropped also exists on some servers only.
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
