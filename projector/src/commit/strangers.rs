//! Records of applications and event types that the registries do not name yet.
//!
//! A gateway may have read a new application's key before this process reads the file, and an application may send a new
//! type's events as soon as its gateway has the type. So a record that has only just come waits a little for its names to
//! be known, and its partition with it. Whoever may send can make up names: what was waited for in vain is not waited for
//! again, and a tenth of the time at most is spent waiting in vain.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use crate::judge::unknown::Unknown;

/// Between two looks at whether a record's names are known.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);
/// How long a name that was waited for in vain is not waited for again.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// How many times the longest wait a partition waits for nothing more, after it has waited in vain.
const REST: u32 = 9;
/// More names than these are not remembered, and then none is waited for.
const NAMES: usize = 100;

/// Of one partition.
#[derive(Debug)]
pub(crate) struct Strangers {
    partition: i32,
    patience: Duration,
    /// The record that waits, and since when.
    waiting: Option<(u64, Instant)>,
    /// By the hash of what was unknown: a name may be as long as a record.
    in_vain: HashMap<u64, Instant>,
    hasher: RandomState,
    rests_until: Option<Instant>,
}

impl Strangers {
    pub(crate) fn new(partition: i32, patience: Duration) -> Self {
        Self {
            partition,
            patience,
            waiting: None,
            in_vain: HashMap::new(),
            hasher: RandomState::new(),
            rests_until: None,
        }
    }

    /// Whether the record at `offset`, of which this is `unknown`, is to be read again later. `log_time_ms`: when it
    /// came. One that came long ago is judged at once: all files have been read since.
    pub(crate) fn waits(
        &mut self,
        unknown: &[Unknown<'_>],
        offset: u64,
        log_time_ms: i64,
        now: Instant,
    ) -> bool {
        let Self { hasher, .. } = self;
        let names: Vec<u64> = unknown.iter().map(|name| hasher.hash_one(name)).collect();
        if let Some((_, since)) = self.waiting.filter(|(waiting, _)| *waiting == offset) {
            if now.duration_since(since) < self.patience {
                return true;
            }
            self.waiting = None;
            self.in_vain.extend(names.iter().map(|name| (*name, now)));
            self.rests_until = Some(now + self.patience * REST);
            return false;
        }
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age = (wall.as_millis() as i64).saturating_sub(log_time_ms);
        if age > self.patience.as_millis() as i64 || self.rests_until.is_some_and(|until| now < until) {
            return false;
        }
        self.in_vain.retain(|_, at| now.duration_since(*at) < FORGOTTEN);
        if self.in_vain.len() >= NAMES || names.iter().any(|name| self.in_vain.contains_key(name)) {
            return false;
        }
        if self.patience.is_zero() {
            return false;
        }
        let (partition, patience) = (self.partition, self.patience);
        tracing::info!(
            partition,
            offset,
            ?patience,
            "a record waits for its application or event type to be known"
        );
        self.waiting = Some((offset, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> i64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
    }

    #[test]
    fn a_stranger_is_waited_for_once() {
        let (mut strangers, start) = (Strangers::new(0, Duration::from_secs(10)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (app, other) = ([Unknown::App(b"new")], [Unknown::Type("new", "")]);
        assert!(!strangers.waits(&app, 0, fresh() - 60_000, at(0)), "came before all files were read");
        assert!(strangers.waits(&app, 1, fresh(), at(0)));
        assert!(strangers.waits(&app, 1, fresh(), at(9)));
        assert!(!strangers.waits(&app, 1, fresh(), at(10)), "patience has an end");
        assert!(!strangers.waits(&app, 2, fresh(), at(11)), "and is not had twice for the same name");
        assert!(!strangers.waits(&other, 3, fresh(), at(11)), "nor for one name after the other");
        assert!(!strangers.waits(&[app[0], other[0]], 4, fresh(), at(101)), "nor where one was in vain");
        assert!(strangers.waits(&other, 5, fresh(), at(101)));
        assert!(!Strangers::new(0, Duration::ZERO).waits(&app, 1, fresh(), at(0)));
    }

    #[test]
    fn made_up_names_are_bounded() {
        let patience = Duration::from_secs(10);
        let mut strangers = Strangers::new(0, patience);
        let start = Instant::now();
        let (mut now, mut waited) = (start, Duration::ZERO);
        for offset in 0..2000u64 {
            let name = offset.to_string();
            let name = [Unknown::Type("made up", &name)];
            if strangers.waits(&name, offset, fresh(), now) {
                waited += patience;
                now += patience;
                assert!(!strangers.waits(&name, offset, fresh(), now));
            }
            now += Duration::from_secs(7);
        }
        assert!(!waited.is_zero());
        assert!(waited * 10 <= now - start, "{waited:?} of {:?} were spent on made up names", now - start);
        assert!(strangers.in_vain.len() <= NAMES);
    }
}
