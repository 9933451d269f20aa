//! When a chunk closes: soon while the log is quiet, late while there is much to catch up.

use std::time::{Duration, Instant};

/// A partition may be inserted into twice a second on average, so a cycle, from one close to the
/// next, should last 500 ms on average.
const CYCLE: Duration = Duration::from_millis(500);
/// A partition that was silent for longer has saved up for an insert at once.
const SILENCE: Duration = Duration::from_secs(1);
/// While catching up, a chunk that does not fill may wait this long.
const CATCHING_UP: Duration = Duration::from_secs(5);
/// The mean is over so many cycles, two minutes: over fewer it varies by 15 ms and more, for which the slowest events
/// would wait.
const CYCLES: f64 = 256.0;
/// What it starts with counts for so many, so that a busy partition soon finds its age.
const KNOWN: f64 = 16.0;

/// The close times of one partition's chunks.
///
/// A cycle is a *gap* (from a close to the first record after it) and an *age* (from there to the next
/// close). The record that waits longest waits for the whole age, so freshness asks for a small age and
/// the number of inserts for a long cycle: `age = 500 ms - mean gap` is the smallest that keeps the mean
/// cycle at 500 ms. With 100 events a second over 16 partitions the mean gap is 160 ms, the age 340 ms.
/// After a gap of more than a second the chunk closes after `quick`; in the mean such a gap counts as one cycle, so
/// that silence does not take the age from what follows it for long.
#[derive(Debug)]
pub(crate) struct Pace {
    quick: Duration,
    /// Milliseconds.
    mean_gap: f64,
    /// Cycles that it is the mean of.
    cycles: f64,
    last_close: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(quick: Duration) -> Self {
        Self { quick, mean_gap: 160.0, cycles: KNOWN, last_close: None }
    }

    /// When a chunk that was opened at `opened` is due, unless it fills up before.
    pub(crate) fn due(&self, opened: Instant, catching_up: bool) -> Instant {
        let silent = self.last_close.is_none_or(|close| opened.saturating_duration_since(close) > SILENCE);
        opened
            + match (catching_up, silent) {
                (true, _) => CATCHING_UP,
                (false, true) => self.quick,
                (false, false) => {
                    CYCLE.saturating_sub(Duration::from_secs_f64(self.mean_gap / 1000.0)).max(self.quick)
                }
            }
    }

    /// A chunk that was opened at `opened` closes now.
    pub(crate) fn closed(&mut self, opened: Instant, now: Instant) {
        if let Some(close) = self.last_close {
            let gap = opened.saturating_duration_since(close);
            let gap = if gap > SILENCE { CYCLE } else { gap };
            self.cycles = CYCLES.min(self.cycles + 1.0);
            self.mean_gap += (gap.as_secs_f64() * 1000.0 - self.mean_gap) / self.cycles;
            // Longer makes no smaller age, and would have to be unlearnt first.
            self.mean_gap = self.mean_gap.min(CYCLE.as_secs_f64() * 1000.0);
        }
        self.last_close = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records at random times (exponential gaps): when each chunk closes, and its age.
    fn simulate(seconds: u64, records_per_second: impl Fn(Duration) -> f64) -> Vec<(Duration, Duration)> {
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        let mut pace = Pace::new(Duration::from_millis(20));
        let mut random = 42u64;
        let mut now = start;
        let mut opened = None;
        let mut inserts = Vec::new();
        while now < end {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let uniform = ((random >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            let next = now + Duration::from_secs_f64(-uniform.ln() / records_per_second(now - start));
            if let Some(first) = opened {
                let due = pace.due(first, false);
                if due <= next {
                    pace.closed(first, due);
                    inserts.push((due - start, due - first));
                    opened = None;
                }
            }
            now = next;
            opened.get_or_insert(now);
        }
        inserts
    }

    /// The largest age once the mean has settled.
    fn longest(records_per_second: f64) -> Duration {
        let settled = Duration::from_secs(60);
        let inserts = simulate(600, |_| records_per_second);
        inserts.into_iter().filter(|(at, _)| *at > settled).map(|(_, age)| age).max().unwrap()
    }

    #[test]
    fn two_inserts_a_second_at_most_whatever_the_rate() {
        for rate in [0.05, 0.5, 1.0, 2.0, 6.25, 20.0, 62.5, 1000.0] {
            let inserts = simulate(600, |_| rate).len() as f64 / 600.0;
            assert!(inserts <= 2.04, "{rate} records/s: {inserts} inserts/s");
        }
    }

    #[test]
    fn a_partition_that_was_nearly_silent_and_wakes_does_not_insert_without_end() {
        // Long enough that the mean knows nothing but silence.
        let wakes = Duration::from_secs(3600);
        let inserts = simulate(3660, |at| if at < wakes { 0.1 } else { 100.0 });
        let since = |seconds| {
            inserts.iter().filter(|(at, _)| *at > wakes && *at < wakes + Duration::from_secs(seconds)).count()
        };
        assert!(since(5) <= 60 && since(30) <= 190, "{} in 5 s, {} in 30 s", since(5), since(30));
    }

    #[test]
    fn a_heartbeat_of_nearly_a_second_leaves_nothing_to_unlearn() {
        let mut pace = Pace::new(Duration::from_millis(20));
        let mut close = Instant::now();
        let mut closes_in = |time, gap| {
            let end = close + time;
            let mut closes = 0;
            while close < end {
                let opened = close + gap;
                close = pace.due(opened, false);
                pace.closed(opened, close);
                closes += 1;
            }
            closes
        };
        closes_in(Duration::from_secs(3600), Duration::from_millis(950));
        let woken = closes_in(Duration::from_secs(5), Duration::from_millis(10));
        assert!(woken <= 75, "{woken} in 5 s");
    }

    #[test]
    fn a_hundred_events_a_second_over_sixteen_partitions_wait_less_than_380_ms() {
        assert!(longest(100.0 / 16.0) < Duration::from_millis(380), "{:?}", longest(100.0 / 16.0));
    }

    #[test]
    fn pauses_of_more_than_a_second_shorten_the_age_too() {
        assert!(longest(3.0) < Duration::from_millis(280), "{:?}", longest(3.0));
    }

    #[test]
    fn a_quiet_partition_closes_at_once() {
        let quick = Duration::from_millis(20);
        let mut pace = Pace::new(quick);
        let start = Instant::now();
        assert_eq!(pace.due(start, false), start + quick);
        pace.closed(start, start + quick);
        let later = start + Duration::from_secs(3);
        assert_eq!(pace.due(later, false), later + quick);
        assert_eq!(pace.due(later, true), later + CATCHING_UP);
    }
}
