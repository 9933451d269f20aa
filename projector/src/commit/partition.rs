//! One partition while it runs: its state, its open chunk and the one that is being inserted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::{Judge, Record};

use crate::commit::attempt::backoff;
use crate::commit::intent::Intent;
use crate::commit::pace::Open;
use crate::commit::resume::Plan;
use crate::commit::settle::Token;
use crate::commit::strangers::{self, Strangers};
use crate::config::ChunkConfig;
use crate::judge::chunk::{Chunk, ClosedChunk, MAX_BLOCK_ROWS};
use crate::judge::projection::Projection;
use crate::judge::unknown::Unknown;
use tables::Verdict;

/// How long a partition is behind the log's end before it counts as catching up.
const CATCHING_UP: Duration = Duration::from_secs(1);
/// How long librdkafka may bring nothing of a partition that has records.
const STALLED: Duration = Duration::from_secs(15);
/// A chunk that may be in the tables already is compared by itself. If it does not fill, it waits this long.
const COMPARED: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Partition {
    pub projection: Projection,
    pub chunk: Chunk,
    pub in_flight: Option<InFlight>,
    limits: Limits,
    verify_to: u64,
    announced: Option<Intent>,
    /// Where the log began when the partition was taken over.
    log_start: u64,
    /// The log holds no records from `projection.next` to here.
    gap_to: u64,
    /// Where the log ended before the last seek. Once the end is reached again, no record below this can come any more.
    probe: Option<u64>,
    at_end: bool,
    /// When everything that the log had a moment ago was judged.
    last_at_end: Instant,
    pub last_record: Instant,
    /// Since when there is something to read, and nothing comes.
    waits_since: Option<Instant>,
    pub is_paused: bool,
    /// What librdkafka delivers now is not what comes next: a pause takes effect some records late, or
    /// a record had to be left. Until the seek, everything is ignored.
    pub must_seek: bool,
    strangers: Strangers,
    /// Until then nothing is read: the next record's application or event type may be known by then.
    waits_until: Option<Instant>,
    /// Everything below is inserted, verified, and committed as such.
    pub committed_to: Option<u64>,
}

/// A closed chunk on its way into the tables.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub chunk: Arc<ClosedChunk>,
    pub token: Arc<Token>,
    pub attempts: u32,
    pub stage: Stage,
}

impl InFlight {
    /// It failed, or its answer says nothing: announced again later, and compared.
    pub(crate) fn is_unclear(&mut self, now: Instant) {
        self.attempts += 1;
        self.stage = Stage::Announce(now + backoff(self.attempts));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The intent is to be committed, not before this moment.
    Announce(Instant),
    /// A task completes it.
    AtWork,
    /// Its round is being inserted.
    InRound,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    rows: u64,
    bytes: usize,
}

impl Partition {
    pub(crate) fn new(
        plan: Plan,
        projection: Projection,
        chunks: &ChunkConfig,
        patience: Duration,
        log_start: u64,
        now: Instant,
    ) -> Self {
        let start = plan.start;
        Self {
            chunk: Chunk::new(start),
            in_flight: None,
            limits: Limits { rows: chunks.chunk_rows as u64, bytes: chunks.chunk_bytes },
            verify_to: plan.verify_to,
            announced: plan.announced,
            // What the log has lost before it was judged can't be judged any more.
            gap_to: log_start.max(start),
            log_start,
            probe: None,
            at_end: false,
            last_at_end: now,
            last_record: now,
            waits_since: None,
            is_paused: true,
            must_seek: true,
            strangers: Strangers::new(projection.partition, patience),
            waits_until: None,
            committed_to: None,
            projection,
        }
    }

    /// Takes a record that was read. Returns its verdict; none for one that has to be read again later, or
    /// was read before.
    pub(crate) fn record(&mut self, judge: &Judge, record: Record<'_>, now: Instant) -> Option<Verdict> {
        let offset = record.offset as u64;
        if self.must_seek || offset < self.projection.next {
            return None;
        }
        self.last_record = now;
        self.waits_since = None;
        self.at_end = false;
        if offset > self.projection.next {
            self.gap_to = self.gap_to.max(offset);
            self.fill_gap(now);
        }
        if self.is_full() {
            self.must_seek = true;
            return None;
        }
        let (strangers, log_time) = (&mut self.strangers, record.log_time_ms);
        let waits = |unknown: &[Unknown<'_>]| strangers.waits(unknown, offset, log_time, now);
        let verdict = self.projection.record(judge, record, &mut self.chunk, waits);
        if verdict.is_some() {
            self.chunk.opened.get_or_insert(now);
        } else {
            self.must_seek = true;
            self.waits_until = Some(now + strangers::AGAIN);
        }
        verdict
    }

    /// Whether the next record is to be read later.
    pub(crate) fn is_waiting(&mut self, now: Instant) -> bool {
        self.waits_until = self.waits_until.filter(|until| now < *until);
        self.waits_until.is_some()
    }

    /// Everything before the end of the log has been read.
    pub(crate) fn reached_end(&mut self, now: Instant) {
        if self.must_seek {
            return;
        }
        self.at_end = true;
        self.last_at_end = now;
        if let Some(end) = self.probe.take() {
            self.gap_to = self.gap_to.max(end);
        }
    }

    /// The offset to set librdkafka to: never before the start of the log.
    pub(crate) fn position(&self) -> u64 {
        self.projection.next.max(self.gap_to)
    }

    /// The ends of the log (see [`LogEnd`](crate::progress::LogEnd)) were asked for a moment ago. A partition that is
    /// judged that far is not catching up, however steadily records come: librdkafka tells of an end only once a fetch
    /// brings nothing, which then never happens.
    pub(crate) fn compare_with_end(&mut self, high: u64, stable: Option<u64>, now: Instant) {
        let next = self.projection.next;
        if next >= high {
            self.last_at_end = now;
        }
        let reads = !self.is_paused && !self.must_seek;
        let waits = reads && stable.is_some_and(|stable| next < stable);
        self.waits_since = self.waits_since.or(Some(now)).filter(|_| waits);
    }

    /// Whether librdkafka fetches nothing, although there is something to read.
    pub(crate) fn is_stalled(&self, now: Instant) -> bool {
        self.waits_since.is_some_and(|since| now.duration_since(since) > STALLED)
    }

    /// `log_end` was asked for some time ago. If it lies further than the last record, markers may follow
    /// that record, or records that have not come yet: reading once more from here to the end tells.
    pub(crate) fn look_behind_end(&mut self, log_end: u64) {
        if self.at_end && self.probe.is_none() && self.gap_to < log_end && self.projection.next < log_end {
            self.probe = Some(log_end);
            self.at_end = false;
            self.must_seek = true;
        }
    }

    /// Fills a known gap as far as the open chunk has room.
    pub(crate) fn fill_gap(&mut self, now: Instant) {
        while self.projection.next < self.gap_to && !self.is_full() {
            self.chunk.opened.get_or_insert(now);
            self.projection.no_record(self.log_start, &mut self.chunk);
        }
    }

    /// Where the open chunk must end, whatever its size in bytes.
    fn row_limit(&self) -> u64 {
        let start = self.chunk.start;
        match &self.announced {
            Some(Intent { range, .. }) if range.start == start => {
                return range.end.min(start + MAX_BLOCK_ROWS as u64);
            }
            Some(Intent { range, .. }) if start < range.start => {
                return range.start.min(start + self.limits.rows);
            }
            _ => {}
        }
        let limit = start + self.limits.rows;
        if start < self.verify_to { limit.min(self.verify_to) } else { limit }
    }

    /// Whether a settled partition is to be committed as such. It is not while the last commit announces a chunk that
    /// was not made again yet: some of its rows may be in the tables, or get there, and without the announcement
    /// nobody would look.
    pub(crate) fn owes_commit(&self) -> bool {
        let next = self.projection.next;
        let keeps_intent = self.announced.as_ref().is_some_and(|intent| intent.range.end > next);
        self.committed_to != Some(next) && !keeps_intent
    }

    fn is_announced(&self) -> bool {
        self.announced.as_ref().is_some_and(|intent| intent.range.start == self.chunk.start)
    }

    /// Whether rows of the open chunk may be in the tables already. Such a chunk is in no round with others: it is
    /// compared.
    pub(crate) fn is_compared(&self) -> bool {
        self.chunk.start < self.verify_to
    }

    /// Adds the open chunk to what the next round would hold, if it can be in one.
    pub(crate) fn add_to(&self, open: &mut Open, now: Instant) {
        // A member of the round that is being inserted is one of the next round, too.
        let is_free = self.in_flight.as_ref().is_none_or(|in_flight| in_flight.stage == Stage::InRound);
        let Some(opened) = self.chunk.opened.filter(|_| is_free && !self.is_compared()) else { return };
        open.rows += self.chunk.rows() as u64;
        open.bytes += self.chunk.bytes();
        open.is_full |= self.is_full();
        let earlier = |first: Option<Instant>| Some(first.map_or(opened, |first| first.min(opened)));
        open.oldest = earlier(open.oldest);
        if !self.is_catching_up(now) {
            open.oldest_live = earlier(open.oldest_live);
        }
    }

    /// Whether the open chunk has no room for a further row.
    pub(crate) fn is_full(&self) -> bool {
        self.chunk.end() >= self.row_limit()
            || (self.chunk.bytes() >= self.limits.bytes && !self.is_announced())
    }

    /// When the open chunk is to be closed for a comparison; `None` if it is not to be compared, is empty, or must be
    /// filled first.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        if self.in_flight.is_some() || !self.is_compared() {
            return None;
        }
        if self.is_full() {
            return Some(now);
        }
        let opened = self.chunk.opened.filter(|_| !self.is_announced())?;
        Some(opened + COMPARED)
    }

    fn is_catching_up(&self, now: Instant) -> bool {
        !self.at_end && now.duration_since(self.last_at_end) > CATCHING_UP
    }

    /// Closes the open chunk and opens the next one. A chunk that was announced stays in its round; any other one is in
    /// `round` from now on.
    pub(crate) fn close(&mut self, round: &Arc<str>, stage: Stage) {
        let announced = self.is_announced();
        let end = self.chunk.end();
        let chunk = std::mem::replace(&mut self.chunk, Chunk::new(end));
        let round = match &self.announced {
            Some(intent) if announced => intent.round.as_str().into(),
            _ => Arc::clone(round),
        };
        let (chunk, token) = (Arc::new(chunk.close()), Arc::new(Token::of(round)));
        self.in_flight = Some(InFlight { chunk, token, attempts: 0, stage });
    }

    /// Whether there is nothing left to do or to say.
    pub(crate) fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.chunk.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.chunk.bytes() + self.in_flight.as_ref().map_or(0, |in_flight| in_flight.chunk.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn partition(plan: Plan, rows: usize) -> Partition {
        let chunks = ChunkConfig {
            chunk_rows: rows,
            chunk_bytes: 1 << 20,
            quick_ms: 20,
            inserts_per_second: 4.0,
            chunk_memory: 1 << 30,
        };
        let projection = Projection::new(0, plan.start, 1000, Arc::default());
        Partition::new(plan, projection, &chunks, Duration::ZERO, 0, Instant::now())
    }

    fn intent(range: Range<u64>) -> Option<Intent> {
        Some(Intent { range, round: "before".into() })
    }

    /// Fills to `gap_to` with chunks closed when full; the ranges and whether each is verified.
    fn chunks(mut partition: Partition, gap_to: u64) -> Vec<(Range<u64>, bool)> {
        let now = Instant::now();
        partition.gap_to = gap_to;
        let mut chunks = Vec::new();
        while partition.projection.next < gap_to {
            partition.fill_gap(now);
            let is_compared = partition.is_compared();
            partition.close(&"another".into(), Stage::AtWork);
            let in_flight = partition.in_flight.take().unwrap();
            assert_eq!(
                &*in_flight.token.round == "before",
                in_flight.chunk.start == 25,
                "a round keeps its chunk"
            );
            chunks.push((in_flight.chunk.range(), is_compared));
        }
        chunks
    }

    #[test]
    fn chunks_end_where_an_announced_one_begins_and_ends() {
        let plan = Plan { start: 0, verify_to: 60, announced: intent(25..55) };
        let expected =
            [(0..10, true), (10..20, true), (20..25, true), (25..55, true), (55..60, true), (60..70, false)];
        assert_eq!(chunks(partition(plan, 10), 70), expected);
    }

    #[test]
    fn an_announcement_is_kept_until_its_chunk_is_made_again() {
        let mut partition = partition(Plan { start: 25, verify_to: 60, announced: intent(25..55) }, 10);
        assert!(partition.is_settled() && !partition.owes_commit());
        partition.gap_to = 55;
        partition.fill_gap(Instant::now());
        assert!(partition.owes_commit());
    }

    #[test]
    fn a_large_gap_is_filled_chunk_by_chunk() {
        let plan = Plan { start: 5, verify_to: 0, announced: None };
        assert_eq!(
            chunks(partition(plan, 100), 250),
            [(5..105, false), (105..205, false), (205..250, false)]
        );
    }

    #[test]
    fn steady_records_are_no_catching_up() {
        let mut partition = partition(Plan { start: 0, verify_to: 0, announced: None }, 1000);
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        // A record each 50 ms, so that no fetch ever comes back empty; the log's end is asked for once a second.
        let mut log_end = 0;
        for n in 0..200u64 {
            if n % 20 == 0 {
                log_end = n;
            }
            partition.compare_with_end(log_end, None, at(n * 50));
            partition.gap_to = n + 1;
            partition.fill_gap(at(n * 50));
            assert!(!partition.is_catching_up(at(n * 50)), "{n}");
        }
        // A log that is a million ahead is another matter.
        partition.compare_with_end(1_000_000, None, at(10_100));
        assert!(partition.is_catching_up(at(11_200)));
    }

    #[test]
    fn a_partition_that_brings_nothing_is_stalled() {
        let mut partition = partition(Plan { start: 0, verify_to: 0, announced: None }, 1000);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        (partition.is_paused, partition.must_seek) = (false, false);
        partition.compare_with_end(9, Some(0), at(0));
        assert!(!partition.is_stalled(at(100)), "only an open transaction");
        partition.compare_with_end(9, Some(5), at(100));
        partition.compare_with_end(9, Some(6), at(110));
        assert!(!partition.is_stalled(at(110)));
        assert!(partition.is_stalled(at(116)));
        partition.is_paused = true;
        partition.compare_with_end(9, Some(6), at(117));
        assert!(!partition.is_stalled(at(117)), "it does not want to read");
    }

    #[test]
    fn markers_at_the_end_are_believed_only_after_a_second_end() {
        let now = Instant::now();
        let mut partition = partition(Plan { start: 5, verify_to: 0, announced: None }, 100);
        partition.must_seek = false;
        partition.look_behind_end(8);
        assert_eq!(partition.probe, None, "the end was not reached yet");
        partition.reached_end(now);
        partition.fill_gap(now);
        assert_eq!(partition.projection.next, 5);
        partition.look_behind_end(8);
        assert!(partition.must_seek);
        partition.reached_end(now);
        partition.fill_gap(now);
        assert_eq!(partition.projection.next, 5, "an end from before the seek says nothing");
        partition.must_seek = false;
        partition.reached_end(now);
        partition.fill_gap(now);
        assert_eq!(partition.projection.next, 8);
    }
}
