//! Compares the rows of a chunk with the tables and completes them, so that each is there exactly once.
//!
//! Three things make an insert's fate unclear: an error or no answer, a crash before the next intent, and a table that
//! lost rows. The deduplication token is no proof: ClickHouse writes it down before it renames the part, so a crash in
//! between leaves a token without rows. Only the rows are proof.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::commit::ledger::Claim;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::judge::chunk::ClosedChunk;
use crate::judge::native::block;
use sha2::{Digest, Sha256};
use tables::Verdict;
use tables::verdict::{LEDGER, TARGETS};

/// How often an insert may leave its rows missing before the partition backs off.
const ATTEMPTS: u32 = 5;
/// How long to wait between two checks whether an earlier insert still runs.
const STILL_RUNNING: Duration = Duration::from_millis(100);
/// How many checks there are before the partition backs off and announces its chunk again.
const PATIENCE: u32 = 50;
/// How soon after its intent an insert must be sent. A process that slept in between has to commit the intent again first,
/// and is refused if its partition has another owner by now.
const LATE: Duration = Duration::from_secs(5);

/// When the intent for what is inserted was committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announced(Option<Instant>);

impl Announced {
    pub(crate) fn now() -> Self {
        Self(Some(Instant::now()))
    }

    /// For a range below everything that is being inserted: nobody else inserts there.
    pub(crate) fn not_needed() -> Self {
        Self(None)
    }

    pub(crate) fn check(self) -> Result<()> {
        match self.0 {
            Some(at) if at.elapsed() > LATE => Err(Error::Late),
            _ => Ok(()),
        }
    }
}

/// The deduplication token of a chunk: the name of the round that inserts it.
#[derive(Debug)]
pub(crate) struct Token {
    pub round: Arc<str>,
    /// An insert of this chunk under the token was answered. Whatever became of its rows, the token is taken in each table
    /// that gets some of them.
    is_taken: AtomicBool,
}

impl Token {
    pub(crate) fn of(round: Arc<str>) -> Self {
        Self { round, is_taken: AtomicBool::new(false) }
    }
}

/// What had to be done to make the chunk complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Healed {
    /// Rows of targets that were missing, while others of the chunk were there.
    pub missing: usize,
    /// Rows of a chunk of which nothing was there: its insert had not come.
    pub late: usize,
    /// Rows of targets that were there twice, or with another verdict.
    pub wrong: usize,
    /// Offsets that keep their rows, although they would get another verdict today.
    pub kept: usize,
}

impl Healed {
    /// Whether any row is another one now, or was not there before.
    pub(crate) fn has_changed(self) -> bool {
        self.missing + self.late + self.wrong > 0
    }
}

/// What the tables lack of a chunk, and what they have too much of.
#[derive(Debug, Default)]
struct Comparison {
    /// For each offset the targets whose row is missing.
    missing: Vec<u8>,
    /// For each offset the targets whose row is there twice or should not be there.
    wrong: Vec<u8>,
    /// By target: offsets whose row is kept, and is there twice.
    repeated: BTreeMap<u8, Vec<u64>>,
    /// Whether any row of the range is there, in any target.
    any_present: bool,
    /// Whether a row of an offset that is to be completed says another verdict, or another version of the schema.
    is_disputed: bool,
}

impl Comparison {
    fn is_clean(&self) -> bool {
        self.rows_missing() == 0 && self.rows_wrong() == 0
    }

    fn rows_missing(&self) -> usize {
        self.missing.iter().map(|mask| mask.count_ones() as usize).sum()
    }

    fn rows_wrong(&self) -> usize {
        let wrong: usize = self.wrong.iter().map(|mask| mask.count_ones() as usize).sum();
        wrong + self.repeated.values().map(Vec::len).sum::<usize>()
    }
}

/// Compares, inserts what is missing, compares again, until every target has each of its rows once.
///
/// The caller must own the partition (an intent for this range committed just now), or the range must
/// lie below everything that is still being inserted.
///
/// # Errors
/// [`Error::Disputed`] before anything is changed, if some of it was judged before by other rules: it is to be judged
/// again by those, see `heal`.
pub(crate) async fn settle(
    database: &Database,
    partition: i32,
    token: &Token,
    chunk: &ClosedChunk,
    announced: Announced,
) -> Result<Healed> {
    let id = database.insert_id(&token.round);
    // Several partitions of a round may be settled at once, each by statements of its own.
    let own = format!("{id}:{partition}");
    let mut was_present = false;
    let mut healed = Healed { kept: chunk.kept.len(), ..Healed::default() };
    for attempt in 0..ATTEMPTS {
        wait_for_running(database, &id).await?;
        wait_for_running(database, &own).await?;
        let found = compare(database, partition, chunk).await?;
        if found.is_clean() {
            return Ok(healed);
        }
        if found.is_disputed && !chunk.is_judged_again {
            return Err(Error::Disputed);
        }
        was_present |= attempt == 0 && found.any_present;
        let counted = if was_present { &mut healed.missing } else { &mut healed.late };
        *counted = (*counted).max(found.rows_missing());
        healed.wrong = healed.wrong.max(found.rows_wrong());
        announced.check()?;
        let missing = remove_wrong(database, partition, chunk, &found).await?;

        announced.check()?;
        // First under the round's own token: the round's insert may still be on its way, sent by a process that slept, and
        // ClickHouse drops the second of the two as a whole. If the token is taken already, by the round's insert or by
        // the owner of another partition of the round, ClickHouse drops this one. What is then still missing is inserted
        // under a token that names it.
        let under = match token.is_taken.load(Ordering::Relaxed) {
            false => id.clone(),
            true => format!("{own}:heal:{}:{attempt}", fingerprint(&missing)),
        };
        let inserted = database.insert(&own, &under, block(&[(&missing, &chunk.streams)])).await;
        token.is_taken.fetch_or(inserted.is_ok(), Ordering::Relaxed);
        match inserted {
            Ok(()) | Err(Error::Running) => {}
            Err(error) => return Err(error),
        }
    }
    wait_for_running(database, &own).await?;
    let found = compare(database, partition, chunk).await?;
    if found.is_clean() {
        return Ok(healed);
    }
    Err(Error::NotHealed { range: id, missing: found.rows_missing(), attempts: ATTEMPTS })
}

async fn wait_for_running(database: &Database, id: &str) -> Result<()> {
    for _ in 0..PATIENCE {
        if !database.is_running(id).await? {
            return Ok(());
        }
        tokio::time::sleep(STILL_RUNNING).await;
    }
    Err(Error::Running)
}

async fn compare(database: &Database, partition: i32, chunk: &ClosedChunk) -> Result<Comparison> {
    let range = chunk.range();
    let mut missing = chunk.targets.clone();
    let mut wrong = vec![0; chunk.rows()];
    let mut repeated: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    let mut any_present = false;
    // Places with a row that is not what it would be today.
    let mut other = Vec::new();
    for (target, table) in TARGETS {
        let mut kept = BTreeSet::new();
        let see = |offset, claim: Claim| {
            any_present = true;
            if chunk.kept.get(&offset).is_some_and(|targets| targets & target != 0) {
                if !kept.insert((offset, claim)) {
                    repeated.entry(target).or_default().push(offset);
                }
                return;
            }
            let index = (offset - range.start) as usize;
            let (verdict, version) = (chunk.verdicts[index], chunk.versions[index]);
            if verdict != Verdict::Erased && claim != (verdict as u8, version) {
                other.push(index);
            }
            let same = target != LEDGER || claim.0 == verdict as u8;
            if missing[index] & target != 0 && same {
                missing[index] &= !target;
            } else {
                wrong[index] |= target;
            }
        };
        database.claims(target, table, partition, &range, see).await?;
    }
    let is_disputed = other.iter().any(|index| missing[*index] | wrong[*index] != 0);
    Ok(Comparison { missing, wrong, repeated, any_present, is_disputed })
}

/// Deletes what is wrong, and nothing else, and returns the rows that are missing then.
async fn remove_wrong(
    database: &Database,
    partition: i32,
    chunk: &ClosedChunk,
    found: &Comparison,
) -> Result<Vec<u8>> {
    let mut missing = found.missing.clone();
    for (target, table) in TARGETS {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (index, _) in found.wrong.iter().enumerate().filter(|(_, mask)| **mask & target != 0) {
            let offset = chunk.start + index as u64;
            match ranges.last_mut() {
                Some(last) if last.end == offset => last.end += 1,
                _ => ranges.push(offset..offset + 1),
            }
            missing[index] |= chunk.targets[index] & target;
        }
        if let (Some(first), Some(last)) = (ranges.first(), ranges.last()) {
            let (from, to) = (first.start, last.end);
            tracing::warn!(
                table,
                partition,
                from,
                to,
                "rows that are doubled or of another verdict: replaced"
            );
            database.delete(table, partition, &ranges).await?;
        }
        if let Some(offsets) = found.repeated.get(&target) {
            tracing::warn!(
                table,
                partition,
                rows = offsets.len(),
                "kept rows that are doubled: one of each stays"
            );
            database.delete_repeated(table, partition, offsets).await?;
        }
    }
    Ok(missing)
}

/// The same text for the same rows: two processes that heal the same rows insert them once.
fn fingerprint(missing: &[u8]) -> String {
    format!("{:x}", Sha256::digest(missing))
}
