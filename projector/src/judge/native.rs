//! Rows in ClickHouse's columnar format Native.
//!
//! Each column begins with its name and type, so the order of `tables/ddl/landing.sql` does not matter. A test inserts
//! every kind of row into the real ClickHouse and reads it back. ClickHouse takes 1.5 CPU seconds to read a million of
//! these rows from RowBinary, and 0.2 from Native.

use bytes::Bytes;
use tables::Verdict;
use uuid::Uuid;

use crate::judge::row::Row;

/// Name and type of the columns after the first one, `targets`. ClickHouse converts the strings to LowCardinality and
/// the verdict to its Enum8, which costs the same as sending dictionaries.
const COLUMNS: &[[&str; 2]] = &[
    ["verdict", "Int8"],
    ["partition", "UInt16"],
    ["offset", "UInt64"],
    ["event_id", "UUID"],
    ["session_id", "UUID"],
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
    ["reasons", "Array(Tuple(code String, pointer String, keyword String, message String))"],
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

    /// The block without its beginning, which is [`block_start`]. Copies no large column.
    pub(crate) fn into_pieces(self) -> (Vec<u8>, Vec<Verdict>, Vec<u16>, Vec<Bytes>) {
        let versions = self.versions.iter().flat_map(|version| version.to_le_bytes()).collect();
        let verdict = self.verdicts.iter().map(|verdict| *verdict as u8).collect();
        let streams: [Vec<Vec<u8>>; COLUMNS.len()] = [
            vec![verdict],
            vec![self.partition],
            vec![self.offset],
            vec![self.event_id],
            vec![self.session_id],
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
        let (mut pieces, mut small) = (Vec::new(), Vec::new());
        for (column, streams) in COLUMNS.iter().zip(streams) {
            for text in column {
                string(&mut small, text.as_bytes());
            }
            for stream in streams {
                if stream.len() < SMALL {
                    small.extend_from_slice(&stream);
                } else {
                    pieces.extend([std::mem::take(&mut small), stream]);
                }
            }
        }
        pieces.push(small);
        // An HTTP client could take an empty piece for the end of a chunked body.
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).map(Bytes::from).collect();
        (self.targets, self.verdicts, self.versions, pieces)
    }
}

/// The beginning of a block: the number of columns and rows, and the first column, `targets`.
pub(crate) fn block_start(targets: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(targets.len() + 32);
    length(&mut out, 1 + COLUMNS.len());
    length(&mut out, targets.len());
    string(&mut out, b"targets");
    string(&mut out, b"UInt8");
    out.extend_from_slice(targets);
    out.into()
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
