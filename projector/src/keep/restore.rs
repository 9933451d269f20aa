//! A shard that has lost its tables (a new disk) gets them again, and the audit fills them from the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::work::Work;

/// Between two looks whether every shard has its tables.
const LOOK: Duration = Duration::from_secs(3);

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
        if work.progress.owned().contains(&0)
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
