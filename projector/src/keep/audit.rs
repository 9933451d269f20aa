//! The audit: every offset of the log has one verdict, and every verdict has its rows, once.

mod faults;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::database::Database;
use crate::error::{Error, Result};
use crate::keep::erase;
use crate::keep::heal::heal;
use crate::work::Work;

pub(crate) use faults::{Faults, Totals, totals};
use faults::{Off, faults};

/// How long the audit waits after a sweep that was asked for and that failed or left faults.
const AGAIN: Duration = Duration::from_secs(5);
/// Offsets that are compared at once: they set a step's memory and the smallest range that is healed.
const STEP: u64 = 500_000;

/// Faults that healing leaves because it keeps verdicts that differ from today's. No sweep judges them again.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By partition and first offset of a step: the faults that healing left.
    steps: BTreeMap<(i32, u64), Faults>,
    /// By partition: how far its totals are off while nothing else is wrong.
    totals: BTreeMap<i32, Off>,
    /// The rules by which healing failed; other rules may succeed.
    judge: Option<Arc<schemas::Judge>>,
}

impl Known {
    fn by(&mut self, judge: &Arc<schemas::Judge>) {
        if !self.judge.as_ref().is_some_and(|known| Arc::ptr_eq(known, judge)) {
            *self = Self { judge: Some(Arc::clone(judge)), ..Self::default() };
        }
    }

    /// Faults below `offset`.
    fn below(&self, partition: i32, offset: u64) -> u64 {
        self.steps.range((partition, 0)..(partition, offset)).map(|(_, faults)| faults.total()).sum()
    }
}

/// The audit in the background. It checks the totals of all partitions, which is cheap, and the recent offsets exactly.
/// Where the totals are wrong, it checks the whole partition. It heals the faults that it finds.
pub(crate) async fn watch(work: Arc<Work>) {
    let minutes = work.config.audit_minutes;
    // 0: only when a shard has lost its tables.
    let every = if minutes == 0 { Duration::MAX } else { Duration::from_secs(60 * minutes) };
    let mut known = Known::default();
    let mut is_asked = false;
    loop {
        let pause = if is_asked { AGAIN } else { every };
        let asked = tokio::time::timeout(pause, work.audit.notified()).await.is_ok();
        let before = work.metrics.audit_faults.get();
        match sweep(&work, &mut known).await {
            Ok(faults) => {
                work.metrics.audit_faults.set(faults as i64);
                // A sweep that was asked for is repeated until it heals nothing more.
                is_asked = (asked || is_asked) && faults > 0 && faults as i64 != before;
            }
            Err(error) => {
                is_asked |= asked;
                tracing::warn!(%error, "audit");
            }
        }
    }
}

/// Returns how many faults are left. A partition whose audit fails counts as one.
async fn sweep(work: &Work, known: &mut Known) -> Result<u64> {
    let totals = totals(&work.database).await?;
    known.by(&work.judge.load_full());
    let mut remaining = 0;
    for partition in work.progress.owned() {
        let row = totals.iter().find(|row| i32::from(row.partition) == partition);
        remaining += audit_partition(work, known, partition, row).await.unwrap_or_else(|error| {
            tracing::error!(partition, %error, "the audit of this partition failed; the next sweep tries again");
            1
        });
    }
    Ok(remaining)
}

async fn audit_partition(
    work: &Work,
    known: &mut Known,
    partition: i32,
    totals: Option<&Totals>,
) -> Result<u64> {
    // Everything below is inserted and verified; rows above it are under way.
    let Some(settled) = work.progress.inserted_to(partition) else { return Ok(0) };
    let log = work.bounds(partition).await?;
    // A ledger that adds up may lack its beginning, if the tables were lost while this projector ran.
    let is_as_known = |row: &Totals| known.totals.get(&partition) == Some(&row.off());
    let adds_up = |row: &Totals| (row.add_up() || is_as_known(row)) && row.ledger_first <= log.start;
    let suspicious = totals.is_none_or(|row| !adds_up(row));
    let recent = first_of_step(settled.saturating_sub(STEP));
    let range = if suspicious { log.start } else { recent.max(log.start) }.min(settled)..settled;
    let below = if suspicious { 0 } else { known.below(partition, range.start) };
    let progress = ProgressBar::hidden();
    let audited = audit_range(&work.database, Some(work), known, partition, range, &progress).await?;
    let left = audited.remaining;
    let healed = audited.found.total().saturating_sub(left.total());
    work.metrics.healed.with_label_values(&["audit"]).inc_by(healed);
    // All faults were known before.
    let is_known = left.total() > 0 && left.total() == known.below(partition, settled);
    if let Some(totals) = totals.filter(|_| suspicious && healed == 0 && is_known) {
        known.totals.insert(partition, totals.off());
    }
    Ok(left.total() + below)
}

#[derive(Debug, Default)]
pub(crate) struct Audited {
    pub found: Faults,
    pub remaining: Faults,
    /// Offsets that keep a verdict which differs from today's.
    pub kept: usize,
}

/// Audits a range step by step, in order. Heals the faulty steps if `healing` is given.
pub(crate) async fn audit_range(
    database: &Database,
    healing: Option<&Work>,
    known: &mut Known,
    partition: i32,
    range: Range<u64>,
    progress: &ProgressBar,
) -> Result<Audited> {
    let mut audited = Audited::default();
    let mut from = range.start;
    while from < range.end {
        // Steps begin at multiples of `STEP`, so that each sweep has the same ones.
        let step = from..range.end.min(first_of_step(from) + STEP);
        let place = (partition, first_of_step(from));
        let seen = faults(database, partition, &step).await?;
        match healing.filter(|_| seen.total() > 0 && known.steps.get(&place) != Some(&seen)) {
            Some(work) => heal_step(work, known, partition, &step, &mut audited).await?,
            None => {
                if seen.total() == 0 {
                    known.steps.remove(&place);
                }
                audited.found.add(seen);
                audited.remaining.add(seen);
            }
        }
        progress.inc(step.end - step.start);
        from = step.end;
    }
    Ok(audited)
}

async fn heal_step(
    work: &Work,
    known: &mut Known,
    partition: i32,
    step: &Range<u64>,
    audited: &mut Audited,
) -> Result<()> {
    let database = &work.database;
    let place = (partition, first_of_step(step.start));
    known.steps.remove(&place);
    // The turn is taken only to heal: reading a range takes long, and the passes of `sequences` would wait.
    let _turn = work.turn.lock().await;
    // Rows that expired during the first look seem to be faults. Nothing expires during the turn.
    let mut now = faults(database, partition, step).await?;
    audited.found.add(now);
    if now.total() > 0 {
        tracing::warn!(partition, ?step, ?now, "healing");
    }
    let erased_again = async |now: Faults| {
        if now.not_erased == 0 {
            return Ok::<_, Error>(now);
        }
        erase::apply(database, &database.name).await?;
        erase::forget(database, &database.name).await?;
        faults(database, partition, step).await
    };
    now = erased_again(now).await?;
    if now.total() > 0 {
        let healed = heal(work, partition, step.clone()).await?;
        audited.kept += healed.kept;
        tracing::info!(partition, ?step, ?healed, "healed");
        // Healing may have brought back rows of a session that was erased meanwhile.
        now = erased_again(faults(database, partition, step).await?).await?;
        if now.total() > 0 && healed.kept > 0 {
            known.steps.insert(place, now);
        }
    }
    audited.remaining.add(now);
    Ok(())
}

fn first_of_step(offset: u64) -> u64 {
    offset - offset % STEP
}

#[cfg(test)]
mod tests;
