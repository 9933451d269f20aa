//! The event ids that a partition has seen recently: they tell which record is a duplicate, and of which record.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use uuid::Uuid;

/// The window has this many segments. A whole segment is dropped once its newest id is too old.
const SEGMENTS: i64 = 6;

/// Exact: a record is a duplicate if and only if an event of its application with its id lies at most `span` of log
/// time before. A record that was rejected is no event: an application could reject another one's events by ids that it
/// guesses.
///
/// Memory: 24 bytes an id in the older segments, 29 to 57 in the hash table of the newest: 24 to 30 MB a million ids.
/// At 100 events a second, the windows of a day take 230 MB over all partitions.
#[derive(Debug)]
pub(crate) struct Window {
    /// Milliseconds of log time.
    span: i64,
    newest: HashTable<Seen>,
    /// Offset and log time of the first id in the newest segment. Its entries count from there.
    base: (u64, i64),
    /// Oldest first.
    older: VecDeque<Segment>,
    hasher: DefaultHashBuilder,
}

/// 24 bytes.
#[derive(Debug, Clone, Copy)]
struct Seen {
    id: [u64; 2],
    /// Above the segment's base.
    offset: u32,
    /// Milliseconds above the segment's base.
    time: u32,
}

/// Ordered by the hash of the id. Hashes are evenly spread, so a search can guess where an id is.
#[derive(Debug)]
struct Segment {
    base: (u64, i64),
    newest_time: i64,
    ids: Vec<Seen>,
}

impl Window {
    /// `span` in milliseconds.
    pub(crate) fn new(span: i64) -> Self {
        Self {
            span: span.max(0),
            newest: HashTable::new(),
            base: (0, 0),
            older: VecDeque::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Returns the offset of the first event of `app` with this id if it lies within the window's span. Otherwise
    /// remembers the id if `is_event`. Offsets and log times must not decrease.
    pub(crate) fn see(
        &mut self,
        app: &str,
        id: Uuid,
        offset: u64,
        log_time: i64,
        is_event: bool,
    ) -> Option<u64> {
        self.roll(offset, log_time);
        // The ids of one application stay different. Those of two applications become equal by chance only: nobody
        // outside of this process knows the hasher.
        let (high, low) = id.as_u64_pair();
        let id = [high ^ self.hasher.hash_one((app, true)), low ^ self.hasher.hash_one((app, false))];
        let hash = hash_of(&self.hasher, id);
        if let Some(seen) = self.newest.find(hash, |seen| seen.id == id) {
            return Some(self.base.0 + u64::from(seen.offset));
        }
        for segment in self.older.iter().rev() {
            if let Some(seen) = segment.find(hash, id, &self.hasher) {
                // Older segments hold older records: if this record is outside the window, all further ones are.
                let inside = segment.base.1 + i64::from(seen.time) >= log_time - self.span;
                if inside {
                    return Some(segment.base.0 + u64::from(seen.offset));
                }
                break;
            }
        }
        if !is_event {
            return None;
        }
        let seen = Seen { id, offset: (offset - self.base.0) as u32, time: (log_time - self.base.1) as u32 };
        let hasher = &self.hasher;
        self.newest.insert_unique(hash, seen, |seen| hash_of(hasher, seen.id));
        None
    }

    /// Drops segments that lie wholly outside the window, and closes the newest segment once it spans its share.
    fn roll(&mut self, offset: u64, log_time: i64) {
        while self.older.front().is_some_and(|segment| segment.newest_time < log_time - self.span) {
            self.older.pop_front();
        }
        if self.newest.is_empty() {
            self.base = (offset, log_time);
            return;
        }
        // The newest segment is shorter than the window, so all of its ids are inside.
        let share = (self.span / SEGMENTS).min(i64::from(u32::MAX));
        let full = log_time - self.base.1 > share || offset - self.base.0 > u64::from(u32::MAX);
        if !full {
            return;
        }
        let mut ids: Vec<Seen> = self.newest.drain().collect();
        self.newest = HashTable::new();
        ids.sort_unstable_by_key(|seen| hash_of(&self.hasher, seen.id));
        ids.shrink_to_fit();
        let newest_time = self.base.1 + i64::from(ids.iter().map(|seen| seen.time).max().unwrap_or(0));
        if newest_time >= log_time - self.span {
            self.older.push_back(Segment { base: self.base, newest_time, ids });
        }
        self.base = (offset, log_time);
    }

    pub(crate) fn len(&self) -> usize {
        self.newest.len() + self.older.iter().map(|segment| segment.ids.len()).sum::<usize>()
    }
}

impl Segment {
    fn find(&self, hash: u64, id: [u64; 2], hasher: &DefaultHashBuilder) -> Option<&Seen> {
        // Interpolation: start where the hash should be, widen until it is enclosed, then bisect.
        let length = self.ids.len();
        let key = |index: usize| hash_of(hasher, self.ids[index].id);
        let guess = ((u128::from(hash) * length as u128) >> 64) as usize;
        let mut step = 8;
        let mut low = guess;
        while low > 0 && key(low.min(length - 1)) >= hash {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 8;
        let mut high = guess;
        while high < length && key(high) <= hash {
            high = (high + step).min(length);
            step *= 2;
        }
        let candidates = &self.ids[low..high];
        let at = candidates.partition_point(|seen| hash_of(hasher, seen.id) < hash);
        candidates[at..].iter().take_while(|seen| hash_of(hasher, seen.id) == hash).find(|seen| seen.id == id)
    }
}

fn hash_of(hasher: &DefaultHashBuilder, id: [u64; 2]) -> u64 {
    hasher.hash_one(u128::from(id[0]) << 64 | u128::from(id[1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000;

    fn see(window: &mut Window, id: u128, offset: u64, log_time: i64) -> Option<u64> {
        window.see("shop", Uuid::from_u128(id), offset, log_time, true)
    }

    #[test]
    fn the_first_wins_until_it_is_too_old() {
        let mut window = Window::new(24 * HOUR);
        assert_eq!(see(&mut window, 1, 10, 0), None);
        assert_eq!(see(&mut window, 1, 11, 0), Some(10));
        assert_eq!(see(&mut window, 1, 12, 24 * HOUR), Some(10), "exactly the span is inside");
        assert_eq!(see(&mut window, 1, 13, 24 * HOUR + 1), None, "a duplicate does not prolong its first");
        assert_eq!(see(&mut window, 1, 14, 24 * HOUR + 2), Some(13));
    }

    #[test]
    fn an_id_is_known_by_application_and_only_of_events() {
        let (mut window, id) = (Window::new(24 * HOUR), Uuid::from_u128(1));
        assert_eq!(window.see("mallory", id, 10, 0, true), None);
        assert_eq!(window.see("shop", id, 11, 0, false), None, "rejected");
        assert_eq!(window.see("shop", id, 12, 0, true), None);
        assert_eq!(window.see("shop", id, 13, 0, false), Some(12), "a repeated one, whatever it is");
        assert_eq!(window.see("mallory", id, 14, 0, true), Some(10));
    }

    #[test]
    fn ids_outside_the_window_are_forgotten() {
        let mut window = Window::new(24 * HOUR);
        for hour in 0..1000 {
            for n in 0..100u64 {
                let offset = hour as u64 * 100 + n;
                assert_eq!(see(&mut window, u128::from(offset) << 70, offset, hour * HOUR), None);
            }
        }
        assert!(window.len() <= 100 * (24 + 24 / SEGMENTS as usize + 2), "{}", window.len());
    }

    #[test]
    fn many_ids_are_found_again() {
        let mut window = Window::new(24 * HOUR);
        let id = |n: u64| u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        for n in 0..200_000 {
            assert_eq!(see(&mut window, id(n), n, n as i64 * 400), None);
        }
        for n in 0..200_000 {
            assert_eq!(see(&mut window, id(n), 200_000 + n, 200_000 * 400), Some(n));
        }
    }

    proptest! {
        #[test]
        fn is_exact(steps in prop::collection::vec((0u8..12, 0i64..40), 1..200)) {
            let mut window = Window::new(100);
            let mut firsts: Vec<(u128, u64, i64)> = Vec::new();
            let mut time = 1_000;
            for (offset, (id, wait)) in steps.into_iter().enumerate() {
                time += wait;
                let (id, offset) = (u128::from(id) << 64 | u128::from(id), offset as u64);
                let expected = firsts.iter().rev().find(|first| first.0 == id && first.2 >= time - 100).map(|first| first.1);
                if expected.is_none() {
                    firsts.push((id, offset, time));
                }
                prop_assert_eq!(see(&mut window, id, offset, time), expected);
            }
        }
    }
}
