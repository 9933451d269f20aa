//! One attempt to get an announced chunk into the tables.

use crate::commit::settle::{Announced, Healed, settle};
use crate::error::{Error, Result};
use crate::judge::chunk::ClosedChunk;
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

/// `verify`: rows of the chunk may be there already.
pub(crate) async fn attempt(
    work: &Work,
    partition: i32,
    chunk: &ClosedChunk,
    verify: bool,
    announced: Announced,
) -> Attempted {
    let inserted = match verify {
        true => verified(work, partition, chunk, announced).await,
        false => inserted(work, partition, chunk, announced).await,
    };
    match inserted {
        Ok(healed) => Attempted::Inserted(healed),
        Err(Error::Disputed) => match judge_again(work, partition, chunk.range()).await {
            Ok(chunk) => Attempted::JudgedAgain(Box::new(chunk)),
            Err(error) => Attempted::Failed(error),
        },
        Err(error) => Attempted::Failed(error),
    }
}

async fn inserted(work: &Work, partition: i32, chunk: &ClosedChunk, announced: Announced) -> Result<Healed> {
    let id = work.database.insert_id(partition, &chunk.range());
    let _timer = work.metrics.insert_seconds.start_timer();
    announced.check()?;
    work.database.insert(&id, &id, chunk.block(&chunk.targets)).await?;
    Ok(Healed::default())
}

async fn verified(work: &Work, partition: i32, chunk: &ClosedChunk, announced: Announced) -> Result<Healed> {
    let healed = settle(&work.database, partition, chunk, announced).await?;
    if healed.has_changed()
        && (chunk.is_judged_again || is_included(&work.database, partition, chunk).await?)
    {
        let _turn = work.turn.lock().await;
        refresh_sequences(&work.database, partition, chunk, healed).await?;
    }
    Ok(healed)
}
