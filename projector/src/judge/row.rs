//! A verdict as one row of `landing`, written column by column, as ClickHouse's format Native has it.
//!
//! Names and types stand in front of each column, so the order of `tables/ddl/landing.sql` does not matter; a
//! test inserts every kind of row into the real engine and reads it back. Native, as ClickHouse takes 1.5 CPU seconds to
//! read a million of these rows from RowBinary, value by value, and 0.2 from columns.

use bytes::Bytes;
use schemas::{Judgement, Reason, ReasonCode};
use tables::Verdict;
use uuid::Uuid;

/// Of a record that is too large to be judged, this much is kept in `rejections.raw`.
pub(crate) const RAW_KEPT_OF_TOO_LARGE: usize = 64 * 1024;

/// Where in the log a row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub partition: u16,
    pub offset: u64,
    /// Milliseconds since 1970; within a partition it never runs backwards.
    pub log_time: i64,
}

/// A row of `landing`, but for its `targets`, which the verdict says.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub place: Place,
    pub verdict: Verdict,
    event_id: Uuid,
    session_id: Uuid,
    app: &'a str,
    category: &'a str,
    name: &'a str,
    data: &'a str,
    timestamp: i64,
    sent_at: Option<i64>,
    received_at: i64,
    pub schema_version: u16,
    first_offset: u64,
    pub reasons: &'a [Reason],
    reasons_total: u16,
    raw: &'a [u8],
    pub traceparent: &'a str,
}

impl<'a> Row<'a> {
    /// An accepted or rejected record. `raw` is the record's value.
    pub(crate) fn judged(place: Place, judgement: &'a Judgement<'_>, raw: &'a [u8]) -> Self {
        let row = Row {
            reasons: &judgement.reasons,
            reasons_total: judgement.reasons_total,
            traceparent: judgement.traceparent,
            app: &judgement.app,
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

    /// With another verdict than it would get today: for the ledger, which has no more of a row than this tells.
    pub(crate) fn judged_before(self, verdict: Verdict, schema_version: u16) -> Self {
        let first_offset = if verdict == Verdict::Duplicate { self.first_offset } else { 0 };
        Row { verdict, schema_version, first_offset, ..self }
    }

    /// An offset at which the log holds no record.
    pub(crate) fn absent(place: Place) -> Self {
        Row::bare(place, Verdict::Absent, Uuid::nil(), place.log_time * 1000)
    }

    /// A record of an erased session: of what it was nothing stays but its event id, whose first record is at
    /// offset `first`. What [`crate::keep::erase`] makes of a row that was there already must be the same.
    pub(crate) fn erased(place: Place, judgement: &Judgement<'_>, first: u64) -> Self {
        Row {
            first_offset: first,
            ..Row::bare(place, Verdict::Erased, judgement.event_id, judgement.received_at)
        }
    }

    /// A request to erase the session with this hash.
    pub(crate) fn erasure(place: Place, event_id: Uuid, session: &'a [u8; 32]) -> Self {
        Row { raw: session, ..Row::bare(place, Verdict::Erasure, event_id, place.log_time * 1000) }
    }

    /// What every judged record's row says: its session, its times, its schema.
    fn of(place: Place, verdict: Verdict, judgement: &Judgement<'_>) -> Self {
        Row {
            session_id: judgement.session_id.unwrap_or_default(),
            timestamp: judgement.timestamp.unwrap_or(0),
            sent_at: judgement.sent_at,
            schema_version: judgement.schema_version,
            ..Row::bare(place, verdict, judgement.event_id, judgement.received_at)
        }
    }

    /// Without session, application, feature, data, times of the sender, reasons.
    fn bare(place: Place, verdict: Verdict, event_id: Uuid, received_at: i64) -> Self {
        Row {
            place,
            verdict,
            event_id,
            session_id: Uuid::nil(),
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

/// Rows column by column: but for the first three as Native has them, see [`Columns::into_pieces`].
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// For each row the tables that get it.
    pub targets: Vec<u8>,
    pub verdicts: Vec<Verdict>,
    pub versions: Vec<u16>,
    partition: Vec<u8>,
    offset: Vec<u8>,
    event_id: Vec<u8>,
    session_id: Vec<u8>,
    app: Vec<u8>,
    category: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    timestamp: Vec<u8>,
    sent_at_is_null: Vec<u8>,
    sent_at: Vec<u8>,
    received_at: Vec<u8>,
    log_time: Vec<u8>,
    first_offset: Vec<u8>,
    reasons_end: Vec<u8>,
    reason_code: Vec<u8>,
    reason_pointer: Vec<u8>,
    reason_keyword: Vec<u8>,
    reason_message: Vec<u8>,
    reasons_total: Vec<u8>,
    raw: Vec<u8>,
    traceparent: Vec<u8>,
    /// Of all rows.
    reasons: u64,
}

/// What the columns of fixed width take for a row.
const FIXED: usize = 1 + 1 + 2 + 8 + 16 + 16 + 8 + 9 + 8 + 8 + 2 + 8 + 8 + 2;

/// Pieces of fewer bytes are put together: each is written to the socket by itself.
const SMALL: usize = 64 * 1024;

impl Columns {
    /// Appends a row and says how many bytes it takes.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> usize {
        self.targets.push(row.verdict.targets());
        self.verdicts.push(row.verdict);
        self.versions.push(row.schema_version);
        self.partition.extend_from_slice(&row.place.partition.to_le_bytes());
        self.offset.extend_from_slice(&row.place.offset.to_le_bytes());
        self.event_id.extend_from_slice(&id(row.event_id));
        self.session_id.extend_from_slice(&id(row.session_id));
        self.timestamp.extend_from_slice(&row.timestamp.to_le_bytes());
        self.sent_at_is_null.push(u8::from(row.sent_at.is_none()));
        self.sent_at.extend_from_slice(&row.sent_at.unwrap_or(0).to_le_bytes());
        self.received_at.extend_from_slice(&row.received_at.to_le_bytes());
        self.log_time.extend_from_slice(&row.place.log_time.to_le_bytes());
        self.first_offset.extend_from_slice(&row.first_offset.to_le_bytes());
        let mut bytes = FIXED
            + string(&mut self.app, row.app.as_bytes())
            + string(&mut self.category, row.category.as_bytes())
            + string(&mut self.name, row.name.as_bytes())
            + string(&mut self.data, row.data.as_bytes())
            + string(&mut self.raw, row.raw)
            + string(&mut self.traceparent, row.traceparent.as_bytes());
        for reason in row.reasons {
            bytes += string(&mut self.reason_code, reason.code.as_str().as_bytes())
                + string(&mut self.reason_pointer, reason.pointer.as_bytes())
                + string(&mut self.reason_keyword, reason.keyword.as_bytes())
                + string(&mut self.reason_message, reason.message.as_bytes());
        }
        self.reasons += row.reasons.len() as u64;
        self.reasons_end.extend_from_slice(&self.reasons.to_le_bytes());
        self.reasons_total.extend_from_slice(&row.reasons_total.to_le_bytes());
        bytes
    }

    /// The block, but for its beginning, which is [`block_start`]. Nothing large is copied.
    pub(crate) fn into_pieces(self) -> (Vec<u8>, Vec<Verdict>, Vec<u16>, Vec<Bytes>) {
        let versions = self.versions.iter().flat_map(|version| version.to_le_bytes()).collect();
        let verdict = self.verdicts.iter().map(|verdict| *verdict as u8).collect();
        // ClickHouse converts the texts to LowCardinality and the verdict to its Enum8: it costs the same as sending
        // dictionaries.
        let streams: [(Option<[&str; 2]>, Vec<u8>); 24] = [
            (Some(["verdict", "Int8"]), verdict),
            (Some(["partition", "UInt16"]), self.partition),
            (Some(["offset", "UInt64"]), self.offset),
            (Some(["event_id", "UUID"]), self.event_id),
            (Some(["session_id", "UUID"]), self.session_id),
            (Some(["app", "String"]), self.app),
            (Some(["category", "String"]), self.category),
            (Some(["name", "String"]), self.name),
            (Some(["data", "String"]), self.data),
            (Some(["timestamp", "DateTime64(6, 'UTC')"]), self.timestamp),
            (Some(["sent_at", "Nullable(DateTime64(6, 'UTC'))"]), self.sent_at_is_null),
            (None, self.sent_at),
            (Some(["received_at", "DateTime64(6, 'UTC')"]), self.received_at),
            (Some(["log_time", "DateTime64(3, 'UTC')"]), self.log_time),
            (Some(["schema_version", "UInt16"]), versions),
            (Some(["first_offset", "UInt64"]), self.first_offset),
            (Some(["reasons", REASONS]), self.reasons_end),
            (None, self.reason_code),
            (None, self.reason_pointer),
            (None, self.reason_keyword),
            (None, self.reason_message),
            (Some(["reasons_total", "UInt16"]), self.reasons_total),
            (Some(["raw", "String"]), self.raw),
            (Some(["traceparent", "String"]), self.traceparent),
        ];
        let (mut pieces, mut small) = (Vec::new(), Vec::new());
        for (column, stream) in streams {
            column.into_iter().flatten().for_each(|text| {
                string(&mut small, text.as_bytes());
            });
            if stream.len() < SMALL {
                small.extend_from_slice(&stream);
            } else {
                pieces.extend([std::mem::take(&mut small), stream]);
            }
        }
        pieces.push(small);
        // An empty piece could be taken for the end of a body that is sent in chunks.
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).map(Bytes::from).collect();
        (self.targets, self.verdicts, self.versions, pieces)
    }
}

const REASONS: &str = "Array(Tuple(code String, pointer String, keyword String, message String))";

/// The columns of a block: `targets` and those of [`Columns::into_pieces`].
const COLUMNS: usize = 20;

/// The beginning of a block: how many columns and rows it has, and its first column, `targets`.
pub(crate) fn block_start(targets: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(targets.len() + 32);
    length(&mut out, COLUMNS);
    length(&mut out, targets.len());
    string(&mut out, b"targets");
    string(&mut out, b"UInt8");
    out.extend_from_slice(targets);
    out.into()
}

/// ClickHouse keeps a UUID as two little-endian halves, the high one first.
fn id(id: Uuid) -> [u8; 16] {
    id.as_u128().rotate_left(64).to_le_bytes()
}

/// The reverse of [`id`], from 16 bytes.
pub(crate) fn read_id(bytes: [u8; 16]) -> u128 {
    u128::from_le_bytes(bytes).rotate_left(64)
}

/// Appends a text and says how many bytes it takes.
fn string(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let before = out.len();
    length(out, bytes.len());
    out.extend_from_slice(bytes);
    out.len() - before
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
        assert_eq!(read_id(id(written)), written.as_u128());
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
