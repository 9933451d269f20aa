//! Where a partition goes on: from the group's commit, the ledger and the log, which may disagree.
//!
//! State must come from a contiguous ledger: if it has a gap, everything from there on is judged again.

use std::ops::Range;
use std::sync::Arc;

use infra::database::within;
use uuid::Uuid;

use crate::commit::identity;
use crate::commit::intent::{self, Intent};
use crate::commit::ledger::Extent;
use crate::database::{ANSWER, Database};
use crate::error::{Error, Result};
use crate::judge::native::read_id;
use crate::judge::projection::Projection;
use crate::keep::{erase, retention};
use crate::work::Work;

/// What the group's coordinator knows of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub offset: u64,
    pub metadata: String,
}

/// Where a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The first offset to judge.
    pub start: u64,
    /// Chunks that begin below this offset may be in the tables already: they are compared, not inserted.
    pub verify_to: u64,
    /// A chunk that was announced and must be made again with these very bounds, so that it gets the
    /// id under which it may have been, or may yet be, inserted.
    pub announced: Option<Intent>,
}

/// `log` is what the broker holds. `longest` is the largest chunk that a projector may have inserted, in rows.
/// `lost_to` is where a loss ends that a person has accepted: until there, rows of the lost records may still be on
/// their way.
pub(crate) fn plan(
    partition: i32,
    log: &Range<u64>,
    commit: Option<&Commit>,
    ledger: Extent,
    ledger_end: u64,
    longest: u64,
    lost_to: u64,
) -> Plan {
    let known_end = if ledger.rows == 0 { 0 } else { ledger.last + 1 };
    let announced = commit.and_then(|commit| intent::announced(partition, commit.offset, &commit.metadata));
    // An announcement beyond the log's end can't be of this log's records.
    let announced = announced.filter(|intent| intent.range.end <= log.end);
    // Without a commit (it expired, or the group is new) the ledger says where to go on; but the last
    // chunk in it may be incomplete in the other tables.
    let first = if ledger.rows == 0 { log.start } else { ledger.first };
    let done = commit.map_or_else(|| ledger_end.saturating_sub(longest).max(first), |commit| commit.offset);
    let start = done.min(ledger_end);
    let verify_to =
        known_end.max(done).max(lost_to).max(announced.as_ref().map_or(0, |intent| intent.range.end));
    Plan { start, verify_to, announced }
}

/// A partition that is to be read on: from where, with what it remembers, and what the log holds.
pub(crate) struct Resumed {
    pub plan: Plan,
    pub projection: Projection,
    pub log: Range<u64>,
}

/// Finds out where a partition goes on, and what it has to remember there. At the offset `suspect` the log may hold
/// another record than the one that was judged.
///
/// # Errors
/// [`Error::OtherLog`]; brokers or ClickHouse out of reach.
pub(crate) async fn resume(
    work: &Work,
    partition: i32,
    commit: Option<Commit>,
    suspect: Option<u64>,
) -> Result<Resumed> {
    // One after the other: each may read a day's ids.
    let _turn = work.resuming.acquire().await.map_err(|_| Error::Stopped)?;
    let log = work.bounds(partition).await?;
    // What must be known before the first record is judged: the erasures that any projector found, and what expired.
    erase::refresh(&work.erasures, &work.database).await?;
    retention::declare(work, partition).await?;
    let ledger = work.database.extent(partition).await?;
    let lost_to =
        identity::check(work, partition, &log, commit.as_ref().map(|commit| commit.offset), ledger, suspect)
            .await?;
    let ledger_end = match ledger {
        Extent { rows: 0, .. } => log.start,
        // Its beginning is lost.
        Extent { first, .. } if first > log.start => log.start,
        contiguous if contiguous.is_contiguous() => contiguous.last + 1,
        Extent { first, .. } => work.database.first_gap(partition, first).await?,
    };
    let longest = work.config.chunks.chunk_rows as u64;
    let plan = plan(partition, &log, commit.as_ref(), ledger, ledger_end, longest, lost_to);
    let projection = projection(work, partition, plan.start).await?;
    Ok(Resumed { plan, projection, log })
}

/// The state before `offset`, from the ledger's rows before it.
pub(crate) async fn projection(work: &Work, partition: i32, offset: u64) -> Result<Projection> {
    let Work { database, .. } = work;
    let window_ms = work.config.judge.window();
    let mut projection = Projection::new(partition, offset, window_ms, Arc::clone(&work.erasures));
    projection.kept_from = database.horizon(partition).await?.kept_from;
    if offset == 0 {
        return Ok(projection);
    }
    let judge = work.judge.load_full();
    let window = &mut projection.window;
    let apps = "SELECT DISTINCT toString(app) FROM {database}.ledger WHERE partition = {partition:UInt16}";
    let apps: Vec<String> =
        within(ANSWER, database.query(apps).param("partition", partition).fetch_all()).await?;
    let remember = |row: &[u8; 34]| {
        let (offset, rest) = row.split_first_chunk::<8>().expect("34 bytes");
        let (id, rest) = rest.split_first_chunk::<16>().expect("26 bytes");
        let (time, app) = rest.split_first_chunk::<8>().expect("10 bytes");
        let (offset, id) = (u64::from_le_bytes(*offset), Uuid::from_u128(read_id(*id)));
        let app = usize::from(u16::from_le_bytes([app[0], app[1]]));
        let app = app.checked_sub(1).and_then(|place| apps.get(place)).map_or("", String::as_str);
        if id.get_version_num() != 5 || id != judge.derived_id(partition, offset as i64) {
            window.see(app, id, offset, i64::from_le_bytes(*time), true);
        }
    };
    let query = database.query(include_str!("resume/window.sql"));
    let query = query.param("partition", partition).param("apps", &apps);
    Database::read(query.param("offset", offset).param("milliseconds", window_ms), remember).await?;
    projection.log_time = database.log_time_before(partition, offset).await?;
    Ok(projection)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger without gaps or overlaps of `range`.
    fn ledger(range: Range<u64>) -> Extent {
        match range.is_empty() {
            true => Extent { rows: 0, first: 0, last: 0, sum: 0, log_time: 0 },
            false => Extent {
                rows: range.end - range.start,
                first: range.start,
                last: range.end - 1,
                sum: range.sum(),
                log_time: 0,
            },
        }
    }

    fn commit(offset: u64, end: Option<u64>) -> Commit {
        Commit { offset, metadata: end.map(|end| intent::metadata(end, "round")).unwrap_or_default() }
    }

    #[track_caller]
    fn check(
        commit: Option<Commit>,
        rows: Range<u64>,
        contiguous_to: u64,
        expected: (u64, u64, Option<Range<u64>>),
    ) {
        let plan = plan(0, &(0..1000), commit.as_ref(), ledger(rows), contiguous_to, 100, 0);
        let announced = plan.announced.map(|intent| intent.range);
        assert_eq!((plan.start, plan.verify_to, announced), expected);
    }

    #[test]
    fn an_empty_log_starts_at_its_beginning() {
        check(None, 0..0, 0, (0, 0, None));
    }

    #[test]
    fn an_announced_chunk_is_verified_with_its_own_bounds() {
        check(Some(commit(500, Some(600))), 0..500, 500, (500, 600, Some(500..600)));
        check(Some(commit(500, Some(600))), 0..600, 600, (500, 600, Some(500..600)));
    }

    #[test]
    fn a_closed_commit_goes_on() {
        check(Some(commit(500, None)), 0..500, 500, (500, 500, None));
    }

    #[test]
    fn a_ledger_with_a_gap_is_judged_again_from_there() {
        check(Some(commit(500, Some(600))), 0..500, 200, (200, 600, Some(500..600)));
        check(Some(commit(500, None)), 0..0, 0, (0, 500, None));
    }

    #[test]
    fn without_a_commit_the_ledger_says_where_and_its_end_is_verified() {
        check(None, 0..500, 500, (400, 500, None));
        check(None, 0..500, 50, (0, 500, None));
    }

    #[test]
    fn a_ledger_ahead_of_its_commit_is_verified() {
        check(Some(commit(300, None)), 0..500, 500, (300, 500, None));
    }

    #[test]
    fn behind_an_accepted_loss_everything_is_compared() {
        let plan = plan(0, &(0..30), Some(&commit(80, Some(90))), ledger(0..20), 20, 100, 90);
        assert_eq!(plan, Plan { start: 20, verify_to: 90, announced: None });
    }
}
