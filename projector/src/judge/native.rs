//! Rows in ClickHouse's columnar format Native.
//!
//! Each column begins with its name and type, so the order of `tables/ddl/landing.sql` does not matter. A test inserts
//! every kind of row into the real ClickHouse and reads it back. ClickHouse takes 1.5 CPU seconds to read a million of
//! these rows from RowBinary, and 0.2 from Native.

use bytes::Bytes;
use tables::Verdict;
use uuid::Uuid;

use crate::judge::row::Row;

/// The one column with arrays.
const REASONS: &str = "reasons";

/// Name and type of the columns after the first one, `targets`. ClickHouse converts the strings to LowCardinality and
/// the verdict to its Enum8, which costs the same as sending dictionaries.
const COLUMNS: &[[&str; 2]] = &[
    ["verdict", "Int8"],
    ["partition", "UInt16"],
    ["offset", "UInt64"],
    ["event_id", "UUID"],
    ["session_id", "UUID"],
    ["session_text", "String"],
    ["app", "String"],
    ["category", "String"],
    ["name", "String"],
    ["data", "String"],
    ["timestamp", "DateTime64(6, 'UTC')"],
    ["sent_at", "Nullable(DateTime64(6, 'UTC'))"],
    ["received_at", "DateTime64(6, 'UTC')"],
    ["log_time", "DateTime64(3, 'UTC')"],
    ["schema_version", "UInt16"],
    ["first_offset", "UInt64"],
    [REASONS, "Array(Tuple(code String, pointer String, keyword String, message String))"],
    ["reasons_total", "UInt16"],
    ["raw", "String"],
    ["traceparent", "String"],
];

/// Pieces of fewer bytes are joined, because each piece is a write to the socket.
const SMALL: usize = 64 * 1024;

/// Rows as columns. All but the first three are encoded for Native.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// For each row, the tables that get it.
    pub targets: Vec<u8>,
    pub verdicts: Vec<Verdict>,
    pub versions: Vec<u16>,
    partition: Vec<u8>,
    offset: Vec<u8>,
    event_id: Vec<u8>,
    session_id: Vec<u8>,
    session_text: Vec<u8>,
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
    /// The number of reasons in all rows.
    reasons: u64,
}

impl Columns {
    /// Appends a row and returns its size in bytes.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> usize {
        self.targets.push(row.verdict.targets());
        self.verdicts.push(row.verdict);
        self.versions.push(row.schema_version);
        let mut bytes = size_of::<(u8, Verdict, u16)>()
            + fixed(&mut self.partition, row.place.partition.to_le_bytes())
            + fixed(&mut self.offset, row.place.offset.to_le_bytes())
            + fixed(&mut self.event_id, id(row.event_id))
            + fixed(&mut self.session_id, id(row.session_id))
            + string(&mut self.session_text, row.session_text.as_bytes())
            + string(&mut self.app, row.app.as_bytes())
            + string(&mut self.category, row.category.as_bytes())
            + string(&mut self.name, row.name.as_bytes())
            + string(&mut self.data, row.data.as_bytes())
            + fixed(&mut self.timestamp, row.timestamp.to_le_bytes())
            + fixed(&mut self.sent_at_is_null, [u8::from(row.sent_at.is_none())])
            + fixed(&mut self.sent_at, row.sent_at.unwrap_or(0).to_le_bytes())
            + fixed(&mut self.received_at, row.received_at.to_le_bytes())
            + fixed(&mut self.log_time, row.place.log_time.to_le_bytes())
            + fixed(&mut self.first_offset, row.first_offset.to_le_bytes())
            + fixed(&mut self.reasons_total, row.reasons_total.to_le_bytes())
            + string(&mut self.raw, row.raw)
            + string(&mut self.traceparent, row.traceparent.as_bytes());
        for reason in row.reasons {
            bytes += string(&mut self.reason_code, reason.code.as_str().as_bytes())
                + string(&mut self.reason_pointer, reason.pointer.as_bytes())
                + string(&mut self.reason_keyword, reason.keyword.as_bytes())
                + string(&mut self.reason_message, reason.message.as_bytes());
        }
        self.reasons += row.reasons.len() as u64;
        bytes + fixed(&mut self.reasons_end, self.reasons.to_le_bytes())
    }

    /// The rows for a block, without copying. The first three stay as they are, because they are read again.
    pub(crate) fn into_streams(self) -> (Vec<u8>, Vec<Verdict>, Vec<u16>, Streams) {
        let versions = self.versions.iter().flat_map(|version| version.to_le_bytes()).collect();
        let verdict = self.verdicts.iter().map(|verdict| *verdict as u8).collect();
        let columns: [Vec<Vec<u8>>; COLUMNS.len()] = [
            vec![verdict],
            vec![self.partition],
            vec![self.offset],
            vec![self.event_id],
            vec![self.session_id],
            vec![self.session_text],
            vec![self.app],
            vec![self.category],
            vec![self.name],
            vec![self.data],
            vec![self.timestamp],
            vec![self.sent_at_is_null, self.sent_at],
            vec![self.received_at],
            vec![self.log_time],
            vec![versions],
            vec![self.first_offset],
            vec![
                self.reasons_end,
                self.reason_code,
                self.reason_pointer,
                self.reason_keyword,
                self.reason_message,
            ],
            vec![self.reasons_total],
            vec![self.raw],
            vec![self.traceparent],
        ];
        let columns = columns.map(|streams| streams.into_iter().map(Bytes::from).collect());
        (self.targets, self.verdicts, self.versions, Streams { columns, reasons: self.reasons })
    }
}

/// The columns of some rows, without `targets`. Each column is one or several streams of Native.
#[derive(Debug)]
pub(crate) struct Streams {
    columns: [Vec<Bytes>; COLUMNS.len()],
    /// The number of reasons of all rows.
    reasons: u64,
}

/// One block of the rows of several chunks, each with its targets. Copies no large column.
pub(crate) fn block(chunks: &[(&[u8], &Streams)]) -> Vec<Bytes> {
    let mut pieces = Pieces::default();
    length(&mut pieces.small, 1 + COLUMNS.len());
    length(&mut pieces.small, chunks.iter().map(|(targets, _)| targets.len()).sum());
    pieces.name(["targets", "UInt8"]);
    for (targets, _) in chunks {
        pieces.small.extend_from_slice(targets);
    }
    for (index, column) in COLUMNS.iter().enumerate() {
        pieces.name(*column);
        let streams = chunks.first().map_or(0, |(_, streams)| streams.columns[index].len());
        for stream in 0..streams {
            let mut reasons = 0;
            for (_, chunk) in chunks {
                let bytes = &chunk.columns[index][stream];
                match column[0] == REASONS && stream == 0 && reasons > 0 {
                    true => pieces.add_ends(bytes, reasons),
                    false => pieces.add(bytes),
                }
                reasons += chunk.reasons;
            }
        }
    }
    pieces.flush();
    pieces.all
}

#[derive(Default)]
struct Pieces {
    small: Vec<u8>,
    all: Vec<Bytes>,
}

impl Pieces {
    fn name(&mut self, [name, data_type]: [&str; 2]) {
        string(&mut self.small, name.as_bytes());
        string(&mut self.small, data_type.as_bytes());
    }

    fn add(&mut self, bytes: &Bytes) {
        if bytes.len() < SMALL {
            self.small.extend_from_slice(bytes);
        } else {
            self.flush();
            self.all.push(bytes.clone());
        }
    }

    /// The ends of arrays that follow `before` elements of other chunks.
    fn add_ends(&mut self, ends: &[u8], before: u64) {
        let (ends, _) = ends.as_chunks::<8>();
        self.small.extend(ends.iter().flat_map(|end| (u64::from_le_bytes(*end) + before).to_le_bytes()));
    }

    fn flush(&mut self) {
        // An HTTP client could take an empty piece for the end of a chunked body.
        if !self.small.is_empty() {
            self.all.push(std::mem::take(&mut self.small).into());
        }
    }
}

/// ClickHouse stores a UUID as two little-endian halves, the high one first.
fn id(id: Uuid) -> [u8; 16] {
    id.as_u128().rotate_left(64).to_le_bytes()
}

/// The reverse of [`id`], from 16 bytes.
pub(crate) fn read_id(bytes: [u8; 16]) -> u128 {
    u128::from_le_bytes(bytes).rotate_left(64)
}

/// Appends a value and returns its size in bytes, like [`string`].
fn fixed<const WIDTH: usize>(out: &mut Vec<u8>, bytes: [u8; WIDTH]) -> usize {
    out.extend_from_slice(&bytes);
    WIDTH
}

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
    use schemas::{Reason, ReasonCode};

    use super::*;
    use crate::judge::row::Place;

    /// Rows of these offsets, each with as many reasons and bytes.
    fn streams(offsets: std::ops::Range<u64>) -> (Vec<u8>, Streams) {
        let mut columns = Columns::default();
        for offset in offsets {
            let reason = Reason {
                code: ReasonCode::InvalidField,
                pointer: format!("/{offset}").into(),
                keyword: "".into(),
                message: "too long".into(),
            };
            let reasons = vec![reason; offset as usize % 4];
            let raw = vec![b'x'; offset as usize * 1000];
            let place = Place { partition: 1, offset, log_time: offset as i64 };
            columns.push(&Row {
                reasons: &reasons,
                raw: &raw,
                ..Row::without_record(place, Verdict::Absent)
            });
        }
        let (targets, _, _, streams) = columns.into_streams();
        (targets, streams)
    }

    #[test]
    fn a_block_of_several_chunks_is_that_of_their_rows() {
        let bytes = |chunks: &[(Vec<u8>, Streams)]| {
            let chunks: Vec<_> =
                chunks.iter().map(|(targets, streams)| (targets.as_slice(), streams)).collect();
            block(&chunks).concat()
        };
        let together = bytes(&[streams(0..100)]);
        assert!(together == bytes(&[streams(0..1), streams(1..7), streams(7..90), streams(90..100)]));
    }

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
