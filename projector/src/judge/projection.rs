//! One partition's log turned into rows: judge each record, know its duplicates, leave no offset out.

use std::sync::Arc;

use schemas::{Judge, Judgement, Record};
use uuid::Uuid;

use crate::judge::chunk::Chunk;
use crate::judge::erasures::{self, Erasures};
use crate::judge::row::{Place, Row};
use crate::judge::tally::Tally;
use crate::judge::unknown::{Unknown, unknown};
use crate::judge::window::Window;
use tables::Verdict;
use tables::verdict::{ALL, LEDGER};

/// The last moment that the tables can hold: 2299-12-31, milliseconds.
const LAST_TIME: i64 = 10_413_791_999_999;

/// What projecting a partition needs to remember. A pure function of the log before `next`: it is built
/// from the ledger's rows on assignment, see `resume.rs`.
#[derive(Debug)]
pub(crate) struct Projection {
    pub partition: i32,
    /// The offset to be judged next.
    pub next: u64,
    /// The largest broker time so far, milliseconds. Log time is this running maximum: broker times
    /// run backwards where a topic takes the producers' times, or a new leader's clock is behind.
    pub log_time: i64,
    pub window: Window,
    pub erasures: Arc<Erasures>,
    /// Of records below this offset only verdicts are kept.
    pub kept_from: u64,
    pub tally: Tally,
}

/// What the tables say of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    pub verdict: Verdict,
    pub schema_version: u16,
    /// The ledger has lost its row: this is what `events` or `rejections` say.
    pub is_lost: bool,
}

impl Projection {
    pub(crate) fn new(partition: i32, next: u64, window: i64, erasures: Arc<Erasures>) -> Self {
        let window = Window::new(window);
        Self { partition, next, log_time: 0, window, erasures, kept_from: 0, tally: Tally::default() }
    }

    /// Judges a record, which must not lie before those that were judged. Of a duplicate also the offset of
    /// the first. The record's log time becomes the running maximum.
    pub(crate) fn judge<'a>(
        &mut self,
        judge: &Judge,
        record: &mut Record<'a>,
    ) -> (Judgement<'a>, Option<u64>) {
        self.see_time(record);
        let judgement = judge.judge(record);
        let first = self.first(judge, record, &judgement);
        (judgement, first)
    }

    /// The offset of the first record with this event id, if this one is not the first.
    fn first(&mut self, judge: &Judge, record: &Record<'_>, judgement: &Judgement<'_>) -> Option<u64> {
        // A derived id is this record's alone. Most ids are no UUIDv5 and need no comparison.
        let id = judgement.event_id;
        let derived = id.get_version_num() == 5 && id == judge.derived_id(record.partition, record.offset);
        if derived { None } else { self.window.see(id.as_u128(), record.offset as u64, self.log_time) }
    }

    /// The record's log time becomes the running maximum.
    fn see_time(&mut self, record: &mut Record<'_>) {
        self.log_time = self.log_time.max(record.log_time_ms.min(LAST_TIME));
        record.log_time_ms = self.log_time;
    }

    /// Judges the record at `self.next` and appends its row to `chunk`, which must end there. Nothing is done if nothing is
    /// wrong with it but that its application or event type is unknown, and `waits` says that it may be known soon: the
    /// record is to be read again.
    pub(crate) fn record(
        &mut self,
        judge: &Judge,
        mut record: Record<'_>,
        chunk: &mut Chunk,
        waits: impl FnOnce(&[Unknown<'_>]) -> bool,
    ) -> Option<Verdict> {
        self.see_time(&mut record);
        if let Some(session) = record.erases() {
            return Some(self.erasure(judge, &record, session, chunk));
        }
        let judgement = judge.judge(&record);
        if unknown(&record, &judgement).is_some_and(|unknown| waits(&unknown)) {
            return None;
        }
        Some(self.judged(judge, &record, &judgement, None, chunk))
    }

    /// As [`record`](Self::record), of a record that has a verdict already: judged by what it was judged by. If it would
    /// get another verdict all the same, its rows are to be left as they are; but an erased session is erased.
    pub(crate) fn record_again(
        &mut self,
        judge: &Judge,
        mut record: Record<'_>,
        past: Past,
        chunk: &mut Chunk,
    ) {
        self.see_time(&mut record);
        if let Some(session) = record.erases() {
            self.erasure(judge, &record, session, chunk);
        } else {
            let judgement = judge.judge_again(&record, past.schema_version);
            self.judged(judge, &record, &judgement, Some(past), chunk);
        }
    }

    fn erasure(&mut self, judge: &Judge, record: &Record<'_>, session: Uuid, chunk: &mut Chunk) -> Verdict {
        let hash = erasures::hash(session);
        let id = judge.derived_id(record.partition, record.offset);
        chunk.push(&Row::erasure(self.place(), id, &hash));
        self.erasures.add(hash);
        self.next += 1;
        self.tally.count_verdict(Verdict::Erasure)
    }

    fn judged(
        &mut self,
        judge: &Judge,
        record: &Record<'_>,
        judgement: &Judgement<'_>,
        past: Option<Past>,
        chunk: &mut Chunk,
    ) -> Verdict {
        debug_assert_eq!(record.offset as u64, self.next);
        let first = self.first(judge, record, judgement);
        let place = self.place();
        self.next += 1;
        if judgement.session_id.is_some_and(|session| self.erasures.contains(session)) {
            chunk.push(&Row::erased(place, judgement, first.unwrap_or(place.offset)));
            return self.tally.count_verdict(Verdict::Erased);
        }
        self.tally.count_sender(judge, judgement, first.is_some());
        let mut row = match first {
            Some(first) => Row::duplicate(place, judgement, first),
            None => Row::judged(place, judgement, record.value.unwrap_or_default()),
        };
        self.tally.count_reasons(row.reasons);
        let kept =
            past.filter(|past| (past.verdict, past.schema_version) != (row.verdict, row.schema_version));
        if let Some(past) = kept {
            row = row.judged_before(past.verdict, past.schema_version);
        }
        chunk.push(&row);
        if place.offset < self.kept_from {
            chunk.keep_last_for(LEDGER);
        }
        if let Some(past) = kept {
            chunk.keep_last_as_it_is(if past.is_lost { !LEDGER } else { ALL });
        }
        self.tally.count_verdict(row.verdict)
    }

    /// The log holds no record at `self.next`.
    pub(crate) fn absent(&mut self, chunk: &mut Chunk) {
        chunk.push(&Row::absent(self.place()));
        self.tally.count_verdict(Verdict::Absent);
        self.next += 1;
    }

    fn place(&self) -> Place {
        Place { partition: self.partition as u16, offset: self.next, log_time: self.log_time }
    }
}
