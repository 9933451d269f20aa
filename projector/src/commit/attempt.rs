//! One attempt to get an announced chunk, or the chunks of a round, into the tables; and how long until the next one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::commit::settle::{Announced, Healed, Token, settle};
use crate::error::{Error, Result};
use crate::judge::chunk::ClosedChunk;
use crate::judge::native::block;
use crate::keep::heal::{is_included, judge_again, refresh_sequences};
use crate::work::Work;

/// How long a round may be inserted: all partitions wait for it.
const LONGEST: Duration = Duration::from_secs(30);

/// What an attempt to complete a chunk made of it.
pub(crate) enum Completed {
    /// Each of its rows is in the tables once.
    Inserted(Healed),
    /// Some offsets of the chunk have a verdict by an earlier version of a schema. This chunk was judged again by those
    /// versions: it is announced instead.
    JudgedAgain(Box<ClosedChunk>),
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
    // The limit drops the request, and the statement may go on in ClickHouse. The comparison of each partition waits
    // until it has ended.
    timeout(LONGEST, work.database.insert(&id, &id, block(&chunks))).await.map_err(|_| Error::Late)??;
    let rows: usize = chunks.iter().map(|(targets, _)| targets.len()).sum();
    work.metrics.chunk_rows.observe(rows as f64);
    announced.check()
}

/// Completes one chunk of which rows may be in the tables.
///
/// # Errors
/// It is unclear what is in the tables.
pub(crate) async fn complete(
    work: &Work,
    partition: i32,
    token: &Token,
    chunk: &ClosedChunk,
    announced: Announced,
) -> Result<Completed> {
    let healed = match settle(&work.database, partition, token, chunk, announced).await {
        Err(Error::Disputed) => {
            let chunk = judge_again(work, partition, chunk.range()).await?;
            return Ok(Completed::JudgedAgain(Box::new(chunk)));
        }
        settled => settled?,
    };
    if healed.has_changed()
        && (chunk.is_judged_again || is_included(&work.database, partition, chunk).await?)
    {
        let _turn = work.turn.lock().await;
        refresh_sequences(&work.database, partition, chunk, healed).await?;
    }
    Ok(Completed::Inserted(healed))
}

/// 100 ms, doubled with each attempt up to 10 s. A partition is never given up.
pub(crate) fn backoff(attempts: u32) -> Duration {
    Duration::from_millis(100 << attempts.saturating_sub(1).min(7)).min(Duration::from_secs(10))
}
