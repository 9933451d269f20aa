//! When a round closes: when it is full (rows, bytes), or by time. It closes soon if it has rows of a partition that is
//! not catching up, and otherwise five seconds after its first record.

use std::time::{Duration, Instant};

use crate::config::ChunkConfig;

/// While all partitions that have rows are catching up, rows that don't fill a round wait this long.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// The close times of one projector's rounds.
///
/// An insert costs ClickHouse the same whatever it holds, so what counts is how many there are. A *cycle* lasts from
/// one close to the next. A record waits for the rest of the cycle in which it comes, and for the insert. After
/// silence, it waits for `quick` alone.
#[derive(Debug)]
pub(crate) struct Pace {
    quick: Duration,
    most_rows: u64,
    most_bytes: usize,
    /// Of a projector that has all partitions.
    shortest: Duration,
    cycle: Duration,
    last_close: Option<Instant>,
}

/// The open chunks that would make up the next round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Open {
    pub rows: u64,
    pub bytes: usize,
    /// Whether one of the chunks has no room for a further row.
    pub is_full: bool,
    /// The first record that came.
    pub oldest: Option<Instant>,
    /// The same of partitions that are not catching up.
    pub oldest_live: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(chunks: &ChunkConfig) -> Self {
        let shortest = Duration::from_secs_f64(1.0 / chunks.inserts_per_second);
        let (most_rows, most_bytes) = (chunks.chunk_rows as u64, chunks.chunk_bytes);
        Self { quick: chunks.quick(), most_rows, most_bytes, shortest, cycle: shortest, last_close: None }
    }

    /// Whether a round of these chunks closes whatever the time: all that it may insert at once, or a chunk of it, is
    /// full.
    pub(crate) fn is_full(&self, open: &Open) -> bool {
        open.is_full || open.rows >= self.most_rows || open.bytes >= self.most_bytes
    }

    /// This projector owns `owned` of the topic's `partitions`; others own the rest, and insert, too. The cycle grows
    /// with the cube root of `partitions / owned`: a projector with a tenth of the partitions inserts 0.46 times as
    /// often as one with all. So each stays fresh, and ten projectors make 4.6 times the inserts instead of ten times.
    pub(crate) fn share(&mut self, owned: usize, partitions: usize) {
        let others = partitions.max(owned).max(1) as f64 / owned.max(1) as f64;
        self.cycle = self.shortest.mul_f64(others.cbrt());
    }

    /// When a round of these chunks is due, unless it fills up before.
    pub(crate) fn due(&self, open: &Open) -> Option<Instant> {
        let Some(first) = open.oldest_live else { return open.oldest.map(|oldest| oldest + CATCHING_UP) };
        let quick = first + self.quick;
        Some(self.last_close.map_or(quick, |close| quick.max(close + self.cycle)))
    }

    pub(crate) fn closed(&mut self, now: Instant) {
        self.last_close = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(20);

    fn pace() -> Pace {
        Pace::new(&ChunkConfig {
            chunk_rows: 100,
            chunk_bytes: 1000,
            quick_ms: QUICK.as_millis() as u64,
            inserts_per_second: 4.0,
            chunk_memory: 1 << 30,
        })
    }

    fn live(oldest: Instant) -> Open {
        Open { oldest: Some(oldest), oldest_live: Some(oldest), ..Open::default() }
    }

    /// Inserts a second, and the longest wait, of records that come so many a second.
    fn simulate(records_per_second: u32, owned: usize, partitions: usize) -> (f64, Duration) {
        let mut pace = self::pace();
        pace.share(owned, partitions);
        let (start, seconds) = (Instant::now(), 60);
        let (mut inserts, mut longest, mut first) = (0u32, Duration::ZERO, None);
        for record in 0..records_per_second * seconds {
            let now = start + Duration::from_secs(1) * record / records_per_second;
            if let Some(opened) = first
                && let Some(due) = pace.due(&live(opened))
                && due <= now
            {
                pace.closed(due);
                (inserts, longest, first) = (inserts + 1, longest.max(due - opened), None);
            }
            first.get_or_insert(now);
        }
        (f64::from(inserts) / f64::from(seconds), longest)
    }

    #[test]
    fn inserts_keep_to_the_target_whatever_the_rate() {
        for rate in [3, 10, 100, 1000] {
            let (inserts, longest) = simulate(rate, 16, 16);
            assert!(
                (f64::from(rate.min(4)) * 0.9..=4.01).contains(&inserts),
                "{rate}/s: {inserts} inserts/s"
            );
            assert!(longest <= Duration::from_millis(250), "{rate}/s: {longest:?}");
        }
    }

    #[test]
    fn several_projectors_insert_more_often_together_and_less_often_each() {
        let (all, quarter, sixteenth) =
            (simulate(100, 16, 16).0, simulate(100, 4, 16).0, simulate(100, 1, 16).0);
        assert!(quarter < all && sixteenth < quarter && sixteenth > all / 3.0, "{all} {quarter} {sixteenth}");
    }

    #[test]
    fn after_silence_a_record_is_inserted_at_once() {
        let mut pace = pace();
        let now = Instant::now();
        assert_eq!(pace.due(&live(now)), Some(now + QUICK));
        pace.closed(now);
        let soon = now + Duration::from_millis(10);
        assert_eq!(pace.due(&live(soon)), Some(now + Duration::from_millis(250)));
        let later = now + Duration::from_secs(3);
        assert_eq!(pace.due(&live(later)), Some(later + QUICK));
    }

    #[test]
    fn a_round_is_full_by_rows_by_bytes_or_by_a_chunk() {
        let open = Open { rows: 99, bytes: 999, ..Open::default() };
        assert!(!pace().is_full(&open));
        assert!(pace().is_full(&Open { rows: 100, ..open }));
        assert!(pace().is_full(&Open { bytes: 1000, ..open }));
        assert!(pace().is_full(&Open { is_full: true, ..open }));
    }

    #[test]
    fn catching_up_waits_for_a_full_round_unless_a_partition_is_live() {
        let pace = pace();
        let now = Instant::now();
        let behind = Open { oldest: Some(now), ..Open::default() };
        assert_eq!(pace.due(&behind), Some(now + CATCHING_UP));
        let live = Open { oldest_live: Some(now + QUICK), ..behind };
        assert_eq!(pace.due(&live), Some(now + QUICK * 2));
        assert_eq!(pace.due(&Open::default()), None);
    }
}
