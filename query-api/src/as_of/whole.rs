//! How far all row tables include the log.
//!
//! One insert writes ledger, events and rejections, but its rows do not appear in all of them at the same moment. If
//! the ledger were believed alone, an answer would lack events that its `as_of` says it has. So the last accepted and
//! the last rejected offset of each partition are looked for in their tables. Chunks of a partition are inserted one
//! after the other, each in one part a table: where the last row is, all rows before it are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Row;
use infra::database::{SMALL, within};
use serde::Deserialize;
use tables::Verdict;

use super::found::{Found, Place};
use super::{AsOf, read};
use crate::database::{Database, small};
use crate::error::Error;

/// How many times the last rows of a partition are looked for if no look has found any of them before. Rows that are
/// missing after that are lost or expired, not on their way.
const LOOKS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(10);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::as_of::found::Whole;

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
