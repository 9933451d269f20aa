//! How far all row tables include the log.
//!
//! One insert writes ledger, events and rejections, but its rows do not appear in all of them at the same moment. If
//! the ledger were believed alone, an answer would lack events that its `as_of` says it has. So the last accepted and
//! the last rejected offset of each partition are looked for in their tables. Chunks of a partition are inserted one
//! after the other, each in one part a table: where the last row is, all rows before it are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clickhouse::Row;
use infra::database::{SMALL, within};
use serde::Deserialize;
use tables::Verdict;

use super::{AsOf, Position, read};
use crate::database::{Database, small};
use crate::error::Error;

/// How many times the last rows of a partition are looked for if no look has found any of them before. Rows that are
/// missing after that are lost or expired, not on their way.
const LOOKS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(10);

/// By partition: the last look that found all rows.
#[derive(Debug, Default)]
pub(crate) struct Whole(Mutex<BTreeMap<u16, Found>>);

/// Of a partition, as its ledger says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    position: u64,
    /// Milliseconds.
    log_time: i64,
    /// The offset after the last accepted one.
    accepted_to: u64,
    rejected_to: u64,
}

/// Verdict, partition, offset of a row.
type Place = (i8, u16, u64);

pub(super) async fn look(database: &Database) -> Result<AsOf, Error> {
    let ledger = ledger(read(database, "as_of/log.sql").await?);
    let whole = &database.whole;
    let mut looks = 0;
    loop {
        looks += 1;
        let missing = whole.missing(&ledger);
        let there = if missing.is_empty() { missing } else { there(database, &missing).await? };
        let (found, is_known) = whole.add(&ledger, &there, looks == LOOKS);
        if is_known {
            return Ok(AsOf::of(found));
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

#[derive(Row, Deserialize)]
struct Last {
    partition: u16,
    /// Of the verdict.
    number: i8,
    last: u64,
    log_time: i64,
}

fn ledger(rows: Vec<Last>) -> BTreeMap<u16, Found> {
    let mut ledger = BTreeMap::<u16, Found>::new();
    for Last { partition, number, last, log_time } in rows {
        let found = ledger.entry(partition).or_default();
        found.position = found.position.max(last + 1);
        found.log_time = found.log_time.max(log_time);
        if number == Verdict::Accepted as i8 {
            found.accepted_to = last + 1;
        } else if number == Verdict::Rejected as i8 {
            found.rejected_to = last + 1;
        }
    }
    ledger
}

async fn there(database: &Database, places: &BTreeSet<Place>) -> Result<BTreeSet<Place>, Error> {
    let of = |wanted: Verdict| {
        let places = places.iter().filter(move |(verdict, ..)| *verdict == wanted as i8);
        places.map(|(_, partition, offset)| (*partition, *offset)).unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let (accepted, rejected) = (of(Verdict::Accepted), of(Verdict::Rejected));
    let query = small(database.query("as_of/there.sql", [])?)
        .param("accepted_partitions", accepted.0)
        .param("accepted_offsets", accepted.1)
        .param("rejected_partitions", rejected.0)
        .param("rejected_offsets", rejected.1);
    let rows: Vec<Place> = within(SMALL, query.fetch_all()).await?;
    Ok(rows.into_iter().collect())
}

impl Whole {
    /// The last rows of the ledger that no look has found.
    fn missing(&self, ledger: &BTreeMap<u16, Found>) -> BTreeSet<Place> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = ledger.iter().flat_map(|(partition, found)| {
            found.missing(known.get(partition)).map(|(verdict, offset)| (verdict, *partition, offset))
        });
        places.collect()
    }

    /// Adds what a look has found. Returns the positions below which all rows are there, and whether they are known of
    /// every partition. The `last` look believes the ledger if it knows nothing better.
    fn add(
        &self,
        ledger: &BTreeMap<u16, Found>,
        there: &BTreeSet<Place>,
        last: bool,
    ) -> (Vec<Position>, bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut positions = Vec::new();
        for (partition, found) in ledger {
            let before = known.get(partition).copied();
            let is_there = |(verdict, offset)| there.contains(&(verdict, *partition, offset));
            let whole = match before {
                _ if found.missing(before.as_ref()).all(is_there) => *found,
                None if last => *found,
                None => continue,
                Some(before) => before,
            };
            known.insert(*partition, whole);
            positions.push(Position {
                partition: *partition,
                position: whole.position,
                log_time: whole.log_time,
            });
        }
        let is_known = positions.len() == ledger.len();
        (positions, is_known)
    }
}

impl Found {
    /// Verdict and offset of the last rows, unless they were there before.
    fn missing(&self, before: Option<&Self>) -> impl Iterator<Item = (i8, u64)> + use<> {
        let before = before.copied().unwrap_or_default();
        let last = |verdict: Verdict, to: u64, before: u64| (to > before).then(|| (verdict as i8, to - 1));
        let accepted = last(Verdict::Accepted, self.accepted_to, before.accepted_to);
        accepted.into_iter().chain(last(Verdict::Rejected, self.rejected_to, before.rejected_to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: i8 = Verdict::Accepted as i8;
    const REJECTED: i8 = Verdict::Rejected as i8;

    fn ledger_of(rows: &[(i8, u64)]) -> BTreeMap<u16, Found> {
        let row =
            |(number, last): &(i8, u64)| Last { partition: 3, number: *number, last: *last, log_time: 1 };
        ledger(rows.iter().map(row).collect())
    }

    fn position(whole: &Whole, ledger: &BTreeMap<u16, Found>, there: &[Place], last: bool) -> Option<u64> {
        let (positions, is_known) = whole.add(ledger, &there.iter().copied().collect(), last);
        assert_eq!(is_known, !positions.is_empty());
        positions.first().map(|found| found.position)
    }

    #[test]
    fn a_row_that_is_not_there_yet_is_not_included() {
        let whole = Whole::default();
        let first = ledger_of(&[(ACCEPTED, 7), (REJECTED, 4), (Verdict::Duplicate as i8, 9)]);
        let both = [(ACCEPTED, 3, 7), (REJECTED, 3, 4)];
        assert_eq!(whole.missing(&first), BTreeSet::from(both));
        assert_eq!(position(&whole, &first, &both[..1], false), None, "nothing is known yet");
        assert_eq!(position(&whole, &first, &both, false), Some(10));
        assert!(whole.missing(&first).is_empty());

        let second = ledger_of(&[(ACCEPTED, 12), (REJECTED, 4), (Verdict::Duplicate as i8, 9)]);
        assert_eq!(whole.missing(&second), BTreeSet::from([(ACCEPTED, 3, 12)]));
        assert_eq!(position(&whole, &second, &[], true), Some(10), "as before");
        assert_eq!(position(&whole, &second, &[(ACCEPTED, 3, 12)], false), Some(13));
        // The last event was erased, and the ledger lost its end.
        assert_eq!(position(&whole, &ledger_of(&[(ACCEPTED, 5)]), &[], false), Some(6));
    }

    #[test]
    fn rows_that_do_not_come_are_not_waited_for_for_ever() {
        let whole = Whole::default();
        assert_eq!(position(&whole, &ledger_of(&[(ACCEPTED, 7)]), &[], true), Some(8));
    }
}
