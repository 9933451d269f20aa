//! Records of applications that the registry does not name yet.
//!
//! A gateway may have read a new application's key before this process reads the file. So a record that has only just
//! come waits a little for its application to be named, and its partition with it. Whoever may write to the log can make
//! up names: what was waited for in vain is not waited for again, and only so much of the time is spent waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

/// Between two looks at whether a record's application is registered.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);
/// How long a name that was waited for in vain is rejected at once.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// The rest between two waits in vain.
const REST: Duration = Duration::from_secs(60);
/// More names than these are not remembered, and then none is waited for.
const NAMES: usize = 100;

/// Of one partition.
#[derive(Debug)]
pub(crate) struct Strangers {
    patience: Duration,
    /// The record that waits, and since when.
    waiting: Option<(u64, Instant)>,
    in_vain: HashMap<Vec<u8>, Instant>,
    rests_until: Option<Instant>,
}

impl Strangers {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, waiting: None, in_vain: HashMap::new(), rests_until: None }
    }

    /// Whether the record at `offset`, whose application is unknown, is to be read again later. `log_time_ms`: when it
    /// came. One that came long ago is judged at once: all files have been read since.
    pub(crate) fn waits(&mut self, app: &[u8], offset: u64, log_time_ms: i64, now: Instant) -> bool {
        if let Some((_, since)) = self.waiting.filter(|(waiting, _)| *waiting == offset) {
            if now.duration_since(since) < self.patience {
                return true;
            }
            self.waiting = None;
            self.in_vain.insert(app.to_vec(), now);
            self.rests_until = Some(now + REST);
            return false;
        }
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age = (wall.as_millis() as i64).saturating_sub(log_time_ms);
        if age > self.patience.as_millis() as i64 || self.rests_until.is_some_and(|until| now < until) {
            return false;
        }
        self.in_vain.retain(|_, at| now.duration_since(*at) < FORGOTTEN);
        if self.in_vain.contains_key(app) || self.in_vain.len() >= NAMES {
            return false;
        }
        self.waiting = Some((offset, now));
        !self.patience.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_waited_for_once() {
        let (mut strangers, start) = (Strangers::new(Duration::from_secs(10)), Instant::now());
        let fresh = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!strangers.waits(b"old", 0, fresh() - 60_000, at(0)), "came before all files were read");
        assert!(strangers.waits(b"new", 1, fresh(), at(0)));
        assert!(strangers.waits(b"new", 1, fresh(), at(9)));
        assert!(!strangers.waits(b"new", 1, fresh(), at(10)), "patience has an end");
        assert!(!strangers.waits(b"new", 2, fresh(), at(11)), "and is not had twice for the same name");
        assert!(!strangers.waits(b"other", 3, fresh(), at(11)), "nor for one name after the other");
        assert!(strangers.waits(b"other", 4, fresh(), at(71)));
        assert!(!Strangers::new(Duration::ZERO).waits(b"new", 1, fresh(), at(0)));
    }

    #[test]
    fn made_up_names_are_bounded() {
        let mut strangers = Strangers::new(Duration::from_secs(1));
        let mut now = Instant::now();
        let mut waited = 0;
        for offset in 0..1000u64 {
            let name = offset.to_string();
            let fresh = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
            if strangers.waits(name.as_bytes(), offset, fresh, now) {
                waited += 1;
                now += Duration::from_secs(1);
                assert!(!strangers.waits(name.as_bytes(), offset, fresh, now));
            }
            now += Duration::from_secs(20);
        }
        assert!((1..400).contains(&waited), "{waited} of 1000 made up names were waited for");
    }
}
