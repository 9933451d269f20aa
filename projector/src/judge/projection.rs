//! Turns a partition's log into rows: judges each record, finds its duplicates, leaves no offset out.

use std::sync::Arc;

use schemas::erasure::Target;
use schemas::{Judge, Judgement, Record};

use crate::judge::chunk::Chunk;
use crate::judge::erasures::{self, Erasures};
use crate::judge::row::{LAST_TIME, Place, Row};
use crate::judge::tally::Tally;
use crate::judge::unknown::{Unknown, unknown};
use crate::judge::window::Window;
use crate::judge::witness::Witness;
use tables::Verdict;
use tables::verdict::{ALL, LEDGER};

/// The state of a partition's projection. It depends only on the log before `next`, and is rebuilt from the ledger's
/// rows on assignment, see `resume.rs`.
#[derive(Debug)]
pub(crate) struct Projection {
    pub partition: i32,
    /// The next offset to judge.
    pub next: u64,
    /// The log time in milliseconds: the largest broker time so far. Broker times run backwards where a topic takes the
    /// producers' times, or where the clock of a new leader is behind.
    pub log_time: i64,
    /// The last record that was judged.
    pub last: Option<Witness>,
    pub window: Window,
    pub erasures: Arc<Erasures>,
    /// For records below this offset, only verdicts are kept.
    pub kept_from: u64,
    pub tally: Tally,
}

/// The verdict that the tables have for an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    pub verdict: Verdict,
    pub schema_version: u16,
    /// The ledger has lost its row; `events` or `rejections` supplied this verdict.
    pub is_lost: bool,
}

impl Projection {
    pub(crate) fn new(partition: i32, next: u64, window: i64, erasures: Arc<Erasures>) -> Self {
        let window = Window::new(window);
        let (last, tally) = (None, Tally::default());
        Self { partition, next, log_time: 0, last, window, erasures, kept_from: 0, tally }
    }

    /// Judges a record and returns the offset of its first occurrence if it is a duplicate. Records must come in order.
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

    /// The offset of the first event of the same application with this event id, if this one is not the first.
    fn first(&mut self, judge: &Judge, record: &Record<'_>, judgement: &Judgement<'_>) -> Option<u64> {
        // A derived id belongs to this record alone. Most ids are no UUIDv5 and need no comparison.
        let id = judgement.event_id;
        let derived = id.get_version_num() == 5 && id == judge.derived_id(record.partition, record.offset);
        if derived {
            return None;
        }
        let (app, is_event) = (&judgement.app, judgement.is_accepted());
        self.window.see(app, id, record.offset as u64, self.log_time, is_event)
    }

    /// The record's log time becomes the running maximum.
    fn see_time(&mut self, record: &mut Record<'_>) {
        self.log_time = self.log_time.max(record.log_time_ms.min(LAST_TIME));
        record.log_time_ms = self.log_time;
    }

    /// Judges the record at `self.next` and appends its row to `chunk`, which must end there. Does nothing and returns
    /// `None` if only the application or event type is unknown and `waits` says that it may soon be known: the caller
    /// then has to read the record again.
    pub(crate) fn record(
        &mut self,
        judge: &Judge,
        mut record: Record<'_>,
        chunk: &mut Chunk,
        waits: impl FnOnce(&[Unknown<'_>]) -> bool,
    ) -> Option<Verdict> {
        let log_time_before = self.log_time;
        self.see_time(&mut record);
        let (event_id, verdict) = if let Some(target) = judge.erases(&record) {
            let id = judge.derived_id(record.partition, record.offset);
            (id, self.erasure(judge, &record, target, chunk))
        } else {
            let judgement = judge.judge(&record);
            if unknown(&record, &judgement).is_some_and(|unknown| waits(&unknown)) {
                return None;
            }
            (judgement.event_id, self.judged(judge, &record, &judgement, None, chunk))
        };
        let (offset, log_time) = (record.offset as u64, self.log_time);
        self.last = Some(Witness { offset, event_id, log_time, log_time_before });
        Some(verdict)
    }

    /// As [`record`](Self::record), for a record that has a verdict already: the schema version of that verdict judges
    /// it. If the verdict would still differ, the tables keep the rows that they have. A record of an erased session
    /// becomes `erased` all the same.
    pub(crate) fn record_again(
        &mut self,
        judge: &Judge,
        mut record: Record<'_>,
        past: Past,
        chunk: &mut Chunk,
    ) {
        self.see_time(&mut record);
        if let Some(target) = judge.erases(&record) {
            self.erasure(judge, &record, target, chunk);
        } else {
            let judgement = judge.judge_again(&record, past.schema_version);
            self.judged(judge, &record, &judgement, Some(past), chunk);
        }
    }

    fn erasure(&mut self, judge: &Judge, record: &Record<'_>, target: Target, chunk: &mut Chunk) -> Verdict {
        let hash = erasures::hash(target);
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
        let is_rejected = first.is_none() && !judgement.is_accepted();
        if judgement.session_id.is_some_and(|session| self.erasures.contains(session))
            || is_rejected && self.erasures.contains_rejected(place, &judgement.session_text)
        {
            chunk.push(&Row::erased(place, judgement, first));
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

    /// The log holds no record at `self.next`: it is absent, or lost, because the log begins at `log_start`. Returns
    /// which.
    pub(crate) fn no_record(&mut self, log_start: u64, chunk: &mut Chunk) -> Verdict {
        let verdict = if self.next < log_start { Verdict::Lost } else { Verdict::Absent };
        chunk.push(&Row::without_record(self.place(), verdict));
        self.next += 1;
        self.tally.count_verdict(verdict)
    }

    fn place(&self) -> Place {
        Place { partition: self.partition as u16, offset: self.next, log_time: self.log_time }
    }
}
