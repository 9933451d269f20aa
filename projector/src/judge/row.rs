//! A row of `landing`: what each verdict keeps of a record.

use schemas::{Judgement, Reason, ReasonCode};
use tables::Verdict;
use uuid::Uuid;

/// How many bytes of a record that is too large `rejections.raw` keeps.
pub(crate) const RAW_KEPT_OF_TOO_LARGE: usize = 64 * 1024;

/// The latest time that the tables can hold, in milliseconds: 2299-12-31.
pub(crate) const LAST_TIME: i64 = 10_413_791_999_999;

/// `first_offset` of an erased record that was rejected: no record is a duplicate of it.
pub(crate) const NO_EVENT: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub partition: u16,
    pub offset: u64,
    /// Milliseconds since 1970; never runs backwards within a partition.
    pub log_time: i64,
}

/// A row of `landing` without its `targets`, which follow from the verdict.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub place: Place,
    pub verdict: Verdict,
    pub event_id: Uuid,
    pub session_id: Uuid,
    pub session_text: &'a str,
    pub app: &'a str,
    pub category: &'a str,
    pub name: &'a str,
    pub data: &'a str,
    pub timestamp: i64,
    pub sent_at: Option<i64>,
    pub received_at: i64,
    pub schema_version: u16,
    pub first_offset: u64,
    pub reasons: &'a [Reason],
    pub reasons_total: u16,
    pub raw: &'a [u8],
    pub traceparent: &'a str,
}

impl<'a> Row<'a> {
    /// An accepted or rejected record. `raw` is the record's value.
    pub(crate) fn judged(place: Place, judgement: &'a Judgement<'_>, raw: &'a [u8]) -> Self {
        let row = Row {
            reasons: &judgement.reasons,
            reasons_total: judgement.reasons_total,
            session_text: &judgement.session_text,
            traceparent: judgement.traceparent,
            category: &judgement.category,
            name: &judgement.name,
            ..Row::of(place, Verdict::Accepted, judgement)
        };
        if judgement.is_accepted() {
            return Row { data: judgement.data, ..row };
        }
        let too_large = judgement.reasons.iter().any(|reason| reason.code == ReasonCode::RecordTooLarge);
        let kept = if too_large { raw.len().min(RAW_KEPT_OF_TOO_LARGE) } else { raw.len() };
        Row { verdict: Verdict::Rejected, raw: &raw[..kept], ..row }
    }

    /// A record whose event id was seen before, at offset `first`.
    pub(crate) fn duplicate(place: Place, judgement: &'a Judgement<'_>, first: u64) -> Self {
        Row { first_offset: first, ..Row::of(place, Verdict::Duplicate, judgement) }
    }

    /// The same row with the verdict that the record got before. Only the ledger takes it: this changes all of the
    /// ledger's columns that depend on the verdict.
    pub(crate) fn judged_before(self, verdict: Verdict, schema_version: u16) -> Self {
        let first_offset = if verdict == Verdict::Duplicate { self.first_offset } else { 0 };
        Row { verdict, schema_version, first_offset, ..self }
    }

    /// An offset at which the log holds no record: absent, or lost.
    pub(crate) fn without_record(place: Place, verdict: Verdict) -> Self {
        Row::bare(place, verdict, Uuid::nil(), place.log_time * 1000)
    }

    /// A record of an erased session. Its event id stays, and what the window of event ids needs: the application, and
    /// `first`, the offset of the first event with that id, if this one is not the first.
    /// [`crate::keep::erase`] must change older rows into the same.
    pub(crate) fn erased(place: Place, judgement: &'a Judgement<'_>, first: Option<u64>) -> Self {
        let bare = Row::bare(place, Verdict::Erased, judgement.event_id, judgement.received_at);
        match first {
            None if !judgement.is_accepted() => Row { first_offset: NO_EVENT, ..bare },
            first => Row { app: &judgement.app, first_offset: first.unwrap_or(place.offset), ..bare },
        }
    }

    /// A request to erase the session with this hash.
    pub(crate) fn erasure(place: Place, event_id: Uuid, session: &'a [u8; 32]) -> Self {
        Row { raw: session, ..Row::bare(place, Verdict::Erasure, event_id, place.log_time * 1000) }
    }

    /// The columns that every judged record's row has: session, application, times, schema version.
    fn of(place: Place, verdict: Verdict, judgement: &'a Judgement<'_>) -> Self {
        Row {
            session_id: judgement.session_id.unwrap_or_default(),
            app: &judgement.app,
            timestamp: judgement.timestamp.unwrap_or(0),
            sent_at: judgement.sent_at,
            schema_version: judgement.schema_version,
            ..Row::bare(place, verdict, judgement.event_id, judgement.received_at)
        }
    }

    fn bare(place: Place, verdict: Verdict, event_id: Uuid, received_at: i64) -> Self {
        Row {
            place,
            verdict,
            event_id,
            session_id: Uuid::nil(),
            session_text: "",
            app: "",
            category: "",
            name: "",
            data: "",
            timestamp: 0,
            sent_at: None,
            received_at,
            schema_version: 0,
            first_offset: 0,
            reasons: &[],
            reasons_total: 0,
            raw: b"",
            traceparent: "",
        }
    }
}
