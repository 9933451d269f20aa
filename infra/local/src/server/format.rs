//! Output formats: their media types, and which of them can be streamed.
//!
//! The engine streams an answer as a sequence of complete documents. For most formats their
//! concatenation is the whole document; some repeat a header that has to be cut off; the rest (JSON,
//! Parquet, ...) can only be had in one piece.

/// How the chunks of a format become one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunks {
    Concatenate,
    /// Each begins with as many text lines of header.
    Lines(usize),
    /// Each begins with RowBinary's column names, and types where true.
    Binary(bool),
    /// Only in one piece.
    Whole,
}

pub(crate) fn chunks(format: &str) -> Chunks {
    const PLAIN: &[&str] = &[
        "TSV",
        "TabSeparated",
        "TSVRaw",
        "TabSeparatedRaw",
        "CSV",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "JSONCompactEachRow",
        "JSONStringsEachRow",
        "JSONCompactStringsEachRow",
        "RowBinary",
        "Native",
        "LineAsString",
        "RawBLOB",
        "MsgPack",
        "BSONEachRow",
        "Null",
    ];
    const HEADED: &[&str] = &[
        "TSV",
        "TabSeparated",
        "TSVRaw",
        "TabSeparatedRaw",
        "CSV",
        "JSONCompactEachRow",
        "JSONCompactStringsEachRow",
    ];
    match format {
        _ if PLAIN.contains(&format) => Chunks::Concatenate,
        "RowBinaryWithNames" => Chunks::Binary(false),
        "RowBinaryWithNamesAndTypes" => Chunks::Binary(true),
        _ => match (format.strip_suffix("WithNames"), format.strip_suffix("WithNamesAndTypes")) {
            (Some(base), _) if HEADED.contains(&base) => Chunks::Lines(1),
            (_, Some(base)) if HEADED.contains(&base) => Chunks::Lines(2),
            _ => Chunks::Whole,
        },
    }
}

impl Chunks {
    /// Length of the header that `chunk` begins with.
    pub(crate) fn header(self, chunk: &[u8]) -> usize {
        match self {
            Self::Concatenate | Self::Whole => 0,
            Self::Lines(lines) => (0..lines).fold(0, |at, _| at + line_length(&chunk[at..])),
            Self::Binary(types) => binary_header(chunk, types).unwrap_or(0),
        }
    }
}

/// Up to and with the line break; one within double quotes (CSV) does not end the line.
fn line_length(text: &[u8]) -> usize {
    let mut quoted = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn binary_header(chunk: &[u8], types: bool) -> Option<usize> {
    let mut at = 0;
    let columns = varint(chunk, &mut at)?;
    for _ in 0..columns * (1 + usize::from(types)) {
        let length = varint(chunk, &mut at)?;
        at += length;
    }
    (at <= chunk.len()).then_some(at)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(crate) fn media_type(format: &str) -> &'static str {
    match format {
        _ if format.starts_with("JSON") && format.contains("EachRow") => {
            "application/x-ndjson; charset=UTF-8"
        }
        "JSONLines" | "NDJSON" => "application/x-ndjson; charset=UTF-8",
        _ if format.starts_with("JSON") => "application/json; charset=UTF-8",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        _ if format.starts_with("TSV") || format.starts_with("TabSeparated") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "XML" => "application/xml; charset=UTF-8",
        "Parquet" => "application/vnd.apache.parquet",
        "Arrow" => "application/vnd.apache.arrow.file",
        "ArrowStream" => "application/vnd.apache.arrow.stream",
        "Native" | "RowBinary" | "RowBinaryWithNames" | "RowBinaryWithNamesAndTypes" | "RawBLOB" => {
            "application/octet-stream"
        }
        _ => "text/plain; charset=UTF-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_measured() {
        assert_eq!(chunks("TSVWithNames").header(b"a\tb\n1\t2\n"), 4);
        assert_eq!(chunks("CSVWithNamesAndTypes").header(b"\"a\nb\"\n\"Int8\"\n1\n"), 13);
        assert_eq!(chunks("RowBinaryWithNames").header(b"\x02\x01a\x02bc\x07\x07"), 6);
        assert_eq!(chunks("RowBinaryWithNamesAndTypes").header(b"\x01\x01a\x05UInt8\x07"), 9);
        assert_eq!(chunks("RowBinaryWithNames").header(b"\xff\xff"), 0);
        assert_eq!(chunks("JSON"), Chunks::Whole);
        assert_eq!(chunks("JSONEachRow").header(b"{}\n"), 0);
    }
}
