//! A verdict as one row of `landing`, in RowBinary, written straight into the chunk's buffer.
//!
//! The order of the fields is that of the columns in `infra/clickhouse/0001_landing.sql`; a test
//! inserts every kind of row into the real engine and reads it back.

use schemas::{Judgement, ReasonCode};
use uuid::Uuid;

/// What became of an offset; the numbers are those of the `Enum8` in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Verdict {
    Accepted = 1,
    Rejected = 2,
    Duplicate = 3,
    /// The log holds no record at this offset: a transaction marker, an aborted record.
    Absent = 4,
    /// Of a session that is erased, see [`crate::erasures`].
    Erased = 5,
    /// Asks to erase a session.
    Erasure = 6,
}

impl Verdict {
    pub(crate) const ALL: [Self; 6] =
        [Self::Accepted, Self::Rejected, Self::Duplicate, Self::Absent, Self::Erased, Self::Erasure];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::Absent => "absent",
            Self::Erased => "erased",
            Self::Erasure => "erasure",
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| *verdict as u8 == number)
    }

    /// The tables that get a row, as the bits of `targets`.
    pub(crate) fn targets(self) -> u8 {
        match self {
            Self::Accepted => LEDGER | EVENTS,
            Self::Rejected => LEDGER | REJECTIONS,
            Self::Duplicate | Self::Absent | Self::Erased => LEDGER,
            Self::Erasure => LEDGER | ERASURES,
        }
    }
}

pub(crate) const LEDGER: u8 = 1;
pub(crate) const EVENTS: u8 = 2;
pub(crate) const REJECTIONS: u8 = 4;
pub(crate) const ERASURES: u8 = 8;

/// Of a record that is too large to be judged, this much is kept in `rejections.raw`.
pub(crate) const RAW_KEPT_OF_TOO_LARGE: usize = 64 * 1024;

/// The verdict stands this far behind the start of a row: `targets`, `partition` and `offset` are before it.
pub(crate) const VERDICT_AT: usize = 1 + 2 + 8;

/// Where in the log a row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub partition: u16,
    pub offset: u64,
    /// Milliseconds since 1970; within a partition it never runs backwards.
    pub log_time: i64,
}

/// An accepted or rejected record. `raw` is the record's value.
pub(crate) fn judged(out: &mut Vec<u8>, place: Place, judgement: &Judgement<'_>, raw: &[u8]) -> Verdict {
    let verdict = if judgement.is_accepted() { Verdict::Accepted } else { Verdict::Rejected };
    start(out, place, verdict, judgement.event_id, judgement.session_id.unwrap_or_default());
    string(out, judgement.app.as_bytes());
    string(out, judgement.category.as_bytes());
    string(out, judgement.name.as_bytes());
    string(out, if verdict == Verdict::Accepted { judgement.data.as_bytes() } else { b"" });
    times(out, place, judgement);
    out.extend_from_slice(&judgement.schema_version.to_le_bytes());
    out.extend_from_slice(&0u64.to_le_bytes());
    length(out, judgement.reasons.len());
    for reason in &judgement.reasons {
        string(out, reason.code.as_str().as_bytes());
        string(out, reason.pointer.as_bytes());
        string(out, reason.keyword.as_bytes());
        string(out, reason.message.as_bytes());
    }
    out.extend_from_slice(&judgement.reasons_total.to_le_bytes());
    let too_large = || judgement.reasons.iter().any(|reason| reason.code == ReasonCode::RecordTooLarge);
    string(
        out,
        match verdict {
            Verdict::Accepted => b"",
            _ if too_large() => &raw[..raw.len().min(RAW_KEPT_OF_TOO_LARGE)],
            _ => raw,
        },
    );
    string(out, judgement.traceparent.as_bytes());
    verdict
}

/// A record whose event id was seen before, at offset `first`.
pub(crate) fn duplicate(out: &mut Vec<u8>, place: Place, judgement: &Judgement<'_>, first: u64) -> Verdict {
    start(out, place, Verdict::Duplicate, judgement.event_id, judgement.session_id.unwrap_or_default());
    out.extend_from_slice(&[0; 4]);
    times(out, place, judgement);
    out.extend_from_slice(&judgement.schema_version.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&EMPTY_END);
    Verdict::Duplicate
}

/// An offset at which the log holds no record.
pub(crate) fn absent(out: &mut Vec<u8>, place: Place) -> Verdict {
    bare(out, place, Verdict::Absent, Uuid::nil(), place.log_time * 1000, 0, b"")
}

/// A record of an erased session: of what it was nothing stays but its event id, whose first record is at
/// offset `first`. What [`crate::erase`] makes of a row that was there already must be the same.
pub(crate) fn erased(out: &mut Vec<u8>, place: Place, judgement: &Judgement<'_>, first: u64) -> Verdict {
    bare(out, place, Verdict::Erased, judgement.event_id, judgement.received_at, first, b"")
}

/// A request to erase the session with this hash.
pub(crate) fn erasure(out: &mut Vec<u8>, place: Place, event_id: Uuid, session: &[u8; 32]) -> Verdict {
    bare(out, place, Verdict::Erasure, event_id, place.log_time * 1000, 0, session)
}

/// Without session, application, feature, data, times of the sender, reasons.
fn bare(
    out: &mut Vec<u8>,
    place: Place,
    verdict: Verdict,
    event_id: Uuid,
    received_at: i64,
    first: u64,
    raw: &[u8],
) -> Verdict {
    start(out, place, verdict, event_id, Uuid::nil());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&0i64.to_le_bytes());
    out.push(1);
    out.extend_from_slice(&received_at.to_le_bytes());
    out.extend_from_slice(&place.log_time.to_le_bytes());
    out.extend_from_slice(&0u16.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&[0; 3]);
    string(out, raw);
    out.push(0);
    verdict
}

/// No reasons, a total of none, no raw bytes, no traceparent.
const EMPTY_END: [u8; 5] = [0; 5];

fn start(out: &mut Vec<u8>, place: Place, verdict: Verdict, event_id: Uuid, session_id: Uuid) {
    out.push(verdict.targets());
    out.extend_from_slice(&place.partition.to_le_bytes());
    out.extend_from_slice(&place.offset.to_le_bytes());
    out.push(verdict as u8);
    id(out, event_id);
    id(out, session_id);
}

fn times(out: &mut Vec<u8>, place: Place, judgement: &Judgement<'_>) {
    out.extend_from_slice(&judgement.timestamp.unwrap_or(0).to_le_bytes());
    match judgement.sent_at {
        Some(sent_at) => {
            out.push(0);
            out.extend_from_slice(&sent_at.to_le_bytes());
        }
        None => out.push(1),
    }
    out.extend_from_slice(&judgement.received_at.to_le_bytes());
    out.extend_from_slice(&place.log_time.to_le_bytes());
}

/// ClickHouse keeps a UUID as two little-endian halves, the high one first.
fn id(out: &mut Vec<u8>, id: Uuid) {
    let (high, low) = id.as_u64_pair();
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
}

/// The reverse of [`id`], from 16 bytes.
pub(crate) fn read_id(bytes: [u8; 16]) -> u128 {
    u128::from_le_bytes(bytes).rotate_left(64)
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Unsigned LEB128.
fn length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_as_they_were_written() {
        let written = Uuid::parse_str("e2085be5-9137-4e4e-80b5-f1ffddc25423").unwrap();
        let mut bytes = Vec::new();
        id(&mut bytes, written);
        assert_eq!(read_id(bytes.try_into().unwrap()), written.as_u128());
    }

    #[test]
    fn lengths_are_leb128() {
        for (value, expected) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![128, 1]),
            (300, vec![172, 2]),
            (1 << 21, vec![128, 128, 128, 1]),
        ] {
            let mut bytes = Vec::new();
            length(&mut bytes, value);
            assert_eq!(bytes, expected);
        }
    }
}
