//! One partition's log turned into rows: judge each record, know its duplicates, leave no offset out.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::{Judge, Judgement, ReasonCode, Record};
use uuid::Uuid;

use crate::commit::strangers::{self, Unknown};
use crate::judge::chunk::Chunk;
use crate::judge::erasures::{self, Erasures};
use crate::judge::row::{Place, Row};
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

/// Counts for the metrics, since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    verdicts: [u64; Verdict::ALL.len()],
    reasons: [u64; ReasonCode::ALL.len()],
    /// By category and name of declared event types; all others are under the empty text.
    types: BTreeMap<String, BTreeMap<String, TypeTally>>,
    /// By registered application.
    apps: BTreeMap<String, [u64; Verdict::ALL.len()]>,
}

/// Counts of one event type.
#[derive(Debug, Default)]
struct TypeTally {
    accepted: u64,
    duplicate: u64,
    /// By the first reason, so that each record counts once.
    rejected: [u64; ReasonCode::ALL.len()],
}

impl Tally {
    fn count_sender(&mut self, judge: &Judge, judgement: &Judgement<'_>, is_duplicate: bool) {
        let (category, name) = (&*judgement.category, &*judgement.name);
        // What no schema judged may still be of a type that is declared: its data was missing, say.
        let is_declared = judgement.schema_version > 0 || judge.registry().get(category, name).is_some();
        let (category, name) = if is_declared { (category, name) } else { ("", "") };
        let known = self.types.get_mut(category).and_then(|names| names.get_mut(name));
        let tally = match known {
            Some(tally) => tally,
            None => self.types.entry(category.into()).or_default().entry(name.into()).or_default(),
        };
        let verdict = match judgement.reasons.first() {
            _ if is_duplicate => {
                tally.duplicate += 1;
                Verdict::Duplicate
            }
            Some(reason) => {
                tally.rejected[reason.code as usize] += 1;
                Verdict::Rejected
            }
            None => {
                tally.accepted += 1;
                Verdict::Accepted
            }
        };
        if judgement.reasons.iter().all(|reason| reason.code != ReasonCode::UnknownApplication) {
            let app = &*judgement.app;
            let tally = match self.apps.get_mut(app) {
                Some(tally) => tally,
                None => self.apps.entry(app.into()).or_default(),
            };
            tally[verdict as usize - 1] += 1;
        }
    }

    /// Application, verdict.
    pub(crate) fn apps(&self) -> impl Iterator<Item = ([&str; 2], u64)> {
        self.apps.iter().flat_map(|(app, verdicts)| {
            let counts = Verdict::ALL.into_iter().zip(*verdicts).filter(|(_, count)| *count > 0);
            counts.map(move |(verdict, count)| ([app.as_str(), verdict.as_str()], count))
        })
    }

    /// Category, name, verdict, reason of a rejection.
    pub(crate) fn types(&self) -> impl Iterator<Item = ([&str; 4], u64)> {
        let types = self.types.iter().flat_map(|(category, names)| {
            names.iter().map(move |(name, tally)| (category.as_str(), name.as_str(), tally))
        });
        let counts = types.flat_map(|(category, name, tally)| {
            let count =
                move |verdict: Verdict, reason, count| ([category, name, verdict.as_str(), reason], count);
            let rejected = ReasonCode::ALL.into_iter().zip(tally.rejected);
            let rejected =
                rejected.map(move |(reason, records)| count(Verdict::Rejected, reason.as_str(), records));
            [count(Verdict::Accepted, "", tally.accepted), count(Verdict::Duplicate, "", tally.duplicate)]
                .into_iter()
                .chain(rejected)
        });
        counts.filter(|(_, count)| *count > 0)
    }

    fn verdict(&mut self, verdict: Verdict) -> Verdict {
        self.verdicts[verdict as usize - 1] += 1;
        verdict
    }

    pub(crate) fn verdicts(&self) -> impl Iterator<Item = (Verdict, u64)> {
        Verdict::ALL.into_iter().zip(self.verdicts).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn reasons(&self) -> impl Iterator<Item = (ReasonCode, u64)> {
        ReasonCode::ALL.into_iter().zip(self.reasons).filter(|(_, count)| *count > 0)
    }
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
        if strangers::unknown(&record, &judgement).is_some_and(|unknown| waits(&unknown)) {
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
        self.tally.verdict(Verdict::Erasure)
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
            return self.tally.verdict(Verdict::Erased);
        }
        self.tally.count_sender(judge, judgement, first.is_some());
        let mut row = match first {
            Some(first) => Row::duplicate(place, judgement, first),
            None => Row::judged(place, judgement, record.value.unwrap_or_default()),
        };
        for reason in row.reasons {
            self.tally.reasons[reason.code as usize] += 1;
        }
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
        self.tally.verdict(row.verdict)
    }

    /// The log holds no record at `self.next`.
    pub(crate) fn absent(&mut self, chunk: &mut Chunk) {
        chunk.push(&Row::absent(self.place()));
        self.tally.verdict(Verdict::Absent);
        self.next += 1;
    }

    fn place(&self) -> Place {
        Place { partition: self.partition as u16, offset: self.next, log_time: self.log_time }
    }
}
