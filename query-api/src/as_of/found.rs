//! What earlier looks have found, shared by all questions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tables::Verdict;

use super::Position;

/// By partition: the last look that found all rows.
#[derive(Debug, Default)]
pub(crate) struct Whole(Mutex<BTreeMap<u16, Found>>);

/// Of a partition, as its ledger says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) position: u64,
    /// Milliseconds.
    pub(super) log_time: i64,
    /// The offset after the last accepted one.
    pub(super) accepted_to: u64,
    pub(super) rejected_to: u64,
}

/// Verdict, partition, offset of a row.
pub(super) type Place = (i8, u16, u64);

impl Whole {
    /// The last rows of the ledger that no look has found.
    pub(super) fn missing(&self, ledger: &BTreeMap<u16, Found>) -> BTreeSet<Place> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = ledger.iter().flat_map(|(partition, found)| {
            found.missing(known.get(partition)).map(|(verdict, offset)| (verdict, *partition, offset))
        });
        places.collect()
    }

    /// Adds what a look has found. Returns the positions below which all rows are there, and whether they are known of
    /// every partition. The `last` look believes the ledger if it knows nothing better.
    pub(super) fn add(
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
