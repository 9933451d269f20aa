//! When a chunk closes: soon while the log is quiet, late while there is much to catch up.

use std::time::{Duration, Instant};

/// A partition may be inserted into twice a second on average, so a cycle, from one close to the
/// next, should last 500 ms on average.
const CYCLE: Duration = Duration::from_millis(500);
/// A partition that was silent for longer has saved up for an insert at once.
const SILENCE: Duration = Duration::from_secs(1);
/// While catching up, a chunk that does not fill may wait this long.
const CATCHING_UP: Duration = Duration::from_secs(5);
/// A mean is over so many cycles of each partition, two minutes.
const CYCLES: f64 = 256.0;
/// What a mean starts with counts for so many, so that a busy partition soon finds its age.
const KNOWN: f64 = 16.0;

/// The close times of one partition's chunks.
///
/// A cycle is a *gap* (from a close to the first record after it) and an *age* (from there to the next
/// close). The record that waits longest waits for the whole age, so freshness asks for a small age and
/// the number of inserts for a long cycle: `age = 500 ms - mean gap` is the smallest that keeps the mean
/// cycle at 500 ms. With 100 events a second over 16 partitions the mean gap is 160 ms, the age 340 ms.
///
/// A mean of some gaps is not the mean: of 200 that come at random it is off by 11 ms, and the slowest events of all
/// partitions would wait that much and more. The gaps of all partitions together say it far better, so theirs holds
/// for each whose own mean could be the same (with one partition they are one); as cycles are 500 ms on average over all gaps that were counted,
/// inserts are twice a second and partition then, too.
///
/// After a gap of more than a second the chunk closes after `quick`; in the mean such a gap counts as one cycle, so
/// that silence does not take the age from what follows it for long.
#[derive(Debug)]
pub(crate) struct Pace {
    quick: Duration,
    gaps: Gaps,
    age: Duration,
    last_close: Option<Instant>,
}

/// A mean of gaps of some partitions, the latest of which count most.
#[derive(Debug)]
pub(crate) struct Gaps {
    pub partitions: usize,
    /// Seconds.
    mean: f64,
    /// How many it is the mean of.
    count: f64,
}

impl Gaps {
    pub(crate) fn of(partitions: usize) -> Self {
        Self { partitions, mean: 0.16, count: KNOWN }
    }

    fn add(&mut self, gap: Duration) {
        self.count = (CYCLES * self.partitions as f64).min(self.count + 1.0);
        self.mean += (gap.as_secs_f64() - self.mean) / self.count;
        // Longer makes no smaller age, and would have to be unlearnt first.
        self.mean = self.mean.min(CYCLE.as_secs_f64());
    }

    /// Of records that come at random, gaps differ as much as they are long (they are exponential): the mean of n is off
    /// by a root of n of itself, and seldom by three times that.
    fn could_be(&self, mean: f64) -> bool {
        (self.mean - mean).abs() < 3.0 * self.mean / self.count.sqrt()
    }
}

impl Pace {
    pub(crate) fn new(quick: Duration) -> Self {
        Self { quick, gaps: Gaps::of(1), age: CYCLE, last_close: None }
    }

    /// When a chunk that was opened at `opened` is due, unless it fills up before.
    pub(crate) fn due(&self, opened: Instant, catching_up: bool) -> Instant {
        let silent = self.last_close.is_none_or(|close| opened.saturating_duration_since(close) > SILENCE);
        opened
            + match (catching_up, silent) {
                (true, _) => CATCHING_UP,
                (false, true) => self.quick,
                (false, false) => self.age,
            }
    }

    /// A chunk that was opened at `opened` closes now. That there are no gaps while catching up says nothing of later.
    pub(crate) fn closed(&mut self, opened: Instant, now: Instant, catching_up: bool, all: &mut Gaps) {
        if let Some(close) = self.last_close
            && !catching_up
        {
            let gap = opened.saturating_duration_since(close);
            let gap = if gap > SILENCE { CYCLE } else { gap };
            self.gaps.add(gap);
            all.add(gap);
        }
        let gap = if self.gaps.could_be(all.mean) { all.mean } else { self.gaps.mean };
        self.age = CYCLE.saturating_sub(Duration::from_secs_f64(gap)).max(self.quick);
        self.last_close = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of some partitions at random times (exponential gaps): the partition of each chunk, when it closes, and
    /// its age.
    fn simulate(
        seconds: u64,
        partitions: usize,
        records_per_second: impl Fn(Duration, usize) -> f64,
    ) -> Vec<(usize, Duration, Duration)> {
        struct Simulated {
            pace: Pace,
            next: Instant,
            opened: Option<Instant>,
        }
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        let mut random = 42u64;
        let mut wait = |rate: f64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let uniform = ((random >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            Duration::from_secs_f64(-uniform.ln() / rate)
        };
        let mut all = Gaps::of(partitions);
        let new = |_| Simulated { pace: Pace::new(Duration::from_millis(20)), next: start, opened: None };
        let mut simulated: Vec<Simulated> = (0..partitions).map(new).collect();
        let mut inserts = Vec::new();
        loop {
            let (number, of) = simulated.iter_mut().enumerate().min_by_key(|(_, of)| of.next).unwrap();
            let now = of.next;
            if now >= end {
                return inserts;
            }
            if let Some(first) = of.opened {
                let due = of.pace.due(first, false);
                if due <= now {
                    of.pace.closed(first, due, false, &mut all);
                    inserts.push((number, due - start, due - first));
                    of.opened = None;
                }
            }
            of.opened.get_or_insert(now);
            of.next += wait(records_per_second(now - start, number));
        }
    }

    /// The largest age once the mean has settled.
    fn longest(partitions: usize, records_per_second: f64) -> Duration {
        let settled = Duration::from_secs(60);
        let inserts = simulate(600, partitions, |_, _| records_per_second);
        inserts.into_iter().filter(|(_, at, _)| *at > settled).map(|(_, _, age)| age).max().unwrap()
    }

    #[test]
    fn two_inserts_a_second_at_most_whatever_the_rate() {
        for rate in [0.05, 0.5, 1.0, 2.0, 6.25, 20.0, 62.5, 1000.0] {
            for partitions in [1, 4] {
                let inserts = simulate(600, partitions, |_, _| rate).len() as f64 / 600.0 / partitions as f64;
                assert!(inserts <= 2.04, "{rate} records/s, {partitions} partitions: {inserts} inserts/s");
            }
        }
    }

    #[test]
    fn two_inserts_a_second_at_most_where_partitions_differ() {
        let rates = [0.1, 1.0, 4.0, 6.25, 6.25, 8.0, 50.0, 1000.0];
        let inserts = simulate(600, rates.len(), |_, partition| rates[partition]);
        for (partition, rate) in rates.iter().enumerate() {
            let inserts = inserts.iter().filter(|(of, ..)| *of == partition).count() as f64 / 600.0;
            assert!(inserts <= 2.1, "{rate} records/s: {inserts} inserts/s");
        }
    }

    #[test]
    fn a_partition_that_was_nearly_silent_and_wakes_does_not_insert_without_end() {
        // Long enough that the mean knows nothing but silence.
        let wakes = Duration::from_secs(3600);
        let inserts = simulate(3660, 1, |at, _| if at < wakes { 0.1 } else { 100.0 });
        let since = |seconds| {
            inserts
                .iter()
                .filter(|(_, at, _)| *at > wakes && *at < wakes + Duration::from_secs(seconds))
                .count()
        };
        assert!(since(5) <= 60 && since(30) <= 190, "{} in 5 s, {} in 30 s", since(5), since(30));
    }

    #[test]
    fn a_heartbeat_of_nearly_a_second_leaves_nothing_to_unlearn() {
        let mut pace = Pace::new(Duration::from_millis(20));
        let mut all = Gaps::of(1);
        let mut close = Instant::now();
        let mut closes_in = |time, gap| {
            let end = close + time;
            let mut closes = 0;
            while close < end {
                let opened = close + gap;
                close = pace.due(opened, false);
                pace.closed(opened, close, false, &mut all);
                closes += 1;
            }
            closes
        };
        closes_in(Duration::from_secs(3600), Duration::from_millis(950));
        let woken = closes_in(Duration::from_secs(5), Duration::from_millis(10));
        assert!(woken <= 75, "{woken} in 5 s");
    }

    #[test]
    fn a_hundred_events_a_second_over_sixteen_partitions_wait_less_than_350_ms() {
        let (together, alone) = (longest(16, 100.0 / 16.0), longest(1, 100.0 / 16.0));
        assert!(
            together < Duration::from_millis(350) && alone < Duration::from_millis(380),
            "{together:?} {alone:?}"
        );
    }

    #[test]
    fn pauses_of_more_than_a_second_shorten_the_age_too() {
        assert!(longest(1, 3.0) < Duration::from_millis(280), "{:?}", longest(1, 3.0));
    }

    #[test]
    fn a_quiet_partition_closes_at_once() {
        let quick = Duration::from_millis(20);
        let mut pace = Pace::new(quick);
        let start = Instant::now();
        assert_eq!(pace.due(start, false), start + quick);
        pace.closed(start, start + quick, false, &mut Gaps::of(1));
        let later = start + Duration::from_secs(3);
        assert_eq!(pace.due(later, false), later + quick);
        assert_eq!(pace.due(later, true), later + CATCHING_UP);
    }
}
