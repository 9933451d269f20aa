//! Retention: how much of the log the tables keep. The log itself keeps everything, and the ledger keeps every verdict.
//!
//! Rows expire by log time, in whole days (UTC). Log time never runs backwards within a partition, so the expired
//! records are the beginning of the partition. One offset, the *horizon*, is its end. Retention does not change
//! verdicts: a record below the horizon is judged like any other, and only its ledger row is inserted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::database::{Database, Horizon};
use crate::error::{Error, Result};
use crate::keep::sequences;
use crate::work::Work;

const DAY: i64 = 86_400_000;
/// How long the task waits between two looks for rows that expire.
const LOOK: Duration = Duration::from_secs(10);

/// The log time in milliseconds before which rows expire; `None` if retention is off.
fn oldest(days: u32) -> Option<i64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let today = now.as_millis() as i64 / DAY;
    (days > 0).then(|| (today - i64::from(days)) * DAY)
}

/// Declares the horizon of a partition before it is projected, so that no expired row is inserted only to be deleted.
pub(crate) async fn declare(work: &Work, partition: i32) -> Result<()> {
    let Some(oldest) = oldest(work.config.retention_days) else { return Ok(()) };
    // If all records are older, the horizon stays at this end: records that are appended meanwhile are new.
    let end = work.bounds(partition).await?.end;
    let kept_from = work.first_at(partition, oldest).await?.min(end);
    let before = work.database.horizon(partition).await?;
    if kept_from > before.kept_from {
        // An empty generation has no rows to delete.
        let empty = work.database.extent(partition).await?.rows == 0;
        let expired_to = if empty { kept_from } else { before.expired_to };
        work.database.set_horizon(partition, Horizon { kept_from, expired_to }).await?;
    }
    Ok(())
}

pub(crate) async fn watch(work: Arc<Work>) {
    loop {
        if let Err(error) = sweep(&work).await {
            tracing::warn!(%error, "expiring; trying again");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn sweep(work: &Work) -> Result<()> {
    let horizons = work.database.horizons().await?;
    for partition in work.progress.owned() {
        let horizon = horizons.get(&partition).copied().unwrap_or_default();
        if let Err(error) = expire(work, partition, horizon).await {
            tracing::warn!(partition, %error, "expiring; trying again");
        }
    }
    Ok(())
}

async fn expire(work: &Work, partition: i32, mut horizon: Horizon) -> Result<()> {
    // Chunks that are under way were judged by the earlier horizon.
    let Some(inserted) = work.progress.inserted_to(partition) else { return Ok(()) };
    if let Some(oldest) = oldest(work.config.retention_days) {
        let kept_from = work.first_at(partition, oldest).await?.min(inserted);
        if kept_from > horizon.kept_from {
            horizon.kept_from = kept_from;
            work.database.set_horizon(partition, horizon).await?;
        }
    }
    if horizon.expired_to < horizon.kept_from {
        let _turn = work.turn.lock().await;
        delete(&work.database, partition, horizon).await?;
        tracing::info!(partition, ?horizon, "expired");
    }
    Ok(())
}

async fn delete(database: &Database, partition: i32, horizon: Horizon) -> Result<()> {
    let Horizon { kept_from, expired_to } = horizon;
    for table in ["events", "rejections"] {
        database.delete(table, partition, std::slice::from_ref(&(0..kept_from))).await?;
    }
    // Sessions that began before the horizon keep the rest of their sequence.
    sequences::refresh_range(&database.servers(), partition as u16, expired_to, kept_from)
        .await
        .map_err(|error| Error::Contradiction(format!("the sequences of expired sessions: {error:#}")))?;
    database.set_horizon(partition, Horizon { kept_from, expired_to: kept_from }).await
}
