//! One attempt to get an announced chunk, or the chunks of a round, into the tables.

use std::sync::Arc;

use crate::commit::settle::{Announced, Healed, settle};
use crate::error::{Error, Result};
use crate::judge::chunk::ClosedChunk;
use crate::judge::native::block;
use crate::keep::heal::{is_included, judge_again, refresh_sequences};
use crate::work::Work;

pub(crate) enum Attempted {
    /// Each of its rows is in the tables once.
    Inserted(Healed),
    /// Some of the chunk had a verdict by other rules. This one keeps to them and is to be announced instead.
    JudgedAgain(Box<ClosedChunk>),
    /// It is unclear what is in the tables.
    Failed(Error),
}

/// Inserts the chunks of a round in one statement. An answer that comes late says nothing: by then the coordinator may
/// have given a partition to another process, which may have taken the round's token.
///
/// # Errors
/// It is unclear what is in the tables.
pub(crate) async fn insert(
    work: &Work,
    round: &str,
    chunks: &[Arc<ClosedChunk>],
    announced: Announced,
) -> Result<()> {
    let id = work.database.insert_id(round);
    let _timer = work.metrics.insert_seconds.start_timer();
    let chunks: Vec<_> = chunks.iter().map(|chunk| (chunk.targets.as_slice(), &chunk.streams)).collect();
    announced.check()?;
    work.database.insert(&id, &id, block(&chunks)).await?;
    let rows: usize = chunks.iter().map(|(targets, _)| targets.len()).sum();
    work.metrics.chunk_rows.observe(rows as f64);
    announced.check()
}

/// Completes one chunk of which rows may be in the tables.
pub(crate) async fn complete(
    work: &Work,
    partition: i32,
    round: &str,
    chunk: &ClosedChunk,
    announced: Announced,
) -> Attempted {
    match settled(work, partition, round, chunk, announced).await {
        Ok(healed) => Attempted::Inserted(healed),
        Err(Error::Disputed) => match judge_again(work, partition, chunk.range()).await {
            Ok(chunk) => Attempted::JudgedAgain(Box::new(chunk)),
            Err(error) => Attempted::Failed(error),
        },
        Err(error) => Attempted::Failed(error),
    }
}

async fn settled(
    work: &Work,
    partition: i32,
    round: &str,
    chunk: &ClosedChunk,
    announced: Announced,
) -> Result<Healed> {
    let healed = settle(&work.database, partition, round, chunk, announced).await?;
    if healed.has_changed()
        && (chunk.is_judged_again || is_included(&work.database, partition, chunk).await?)
    {
        let _turn = work.turn.lock().await;
        refresh_sequences(&work.database, partition, chunk, healed).await?;
    }
    Ok(healed)
}
