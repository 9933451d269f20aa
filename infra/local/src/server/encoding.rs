//! What a body is wrapped in: HTTP content encodings, and ClickHouse's own blocks.

use std::io::{self, Read, Write};

use bytes::Bytes;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use super::block;
use super::exception::{Exception, code};

/// A wrapping of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    /// `compress=1`; has no `Content-Encoding`.
    Blocks,
    Gzip,
    Deflate,
    Zstd,
    Lz4,
    Brotli,
}

impl Encoding {
    /// The cheapest of those that an `Accept-Encoding` header offers.
    pub(crate) fn accepted(header: &str) -> Self {
        let offers = |name: &str| {
            header.split(',').any(|offer| {
                let mut parts = offer.split(';').map(str::trim);
                let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
                named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        };
        [Self::Lz4, Self::Zstd, Self::Gzip, Self::Deflate, Self::Brotli]
            .into_iter()
            .find(|encoding| encoding.header().is_some_and(offers))
            .unwrap_or(Self::Identity)
    }

    /// The value of `Content-Encoding`.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::Blocks => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
            Self::Brotli => Some("br"),
        }
    }
}

/// Wraps an answer chunk by chunk: what went in can be read at once from what came out.
pub(crate) enum Encoder {
    Identity,
    Blocks,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Lz4(FrameEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
}

impl Encoder {
    pub(crate) fn new(encoding: Encoding) -> io::Result<Self> {
        let fast = flate2::Compression::fast();
        Ok(match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Blocks => Self::Blocks,
            Encoding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), fast)),
            Encoding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), fast)),
            Encoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
            Encoding::Lz4 => Self::Lz4(FrameEncoder::new(Vec::new())),
            Encoding::Brotli => {
                Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 1 << 16, 2, 20)))
            }
        })
    }

    pub(crate) fn encode(&mut self, chunk: Bytes) -> io::Result<Bytes> {
        fn through<W: Write>(writer: &mut W, chunk: &[u8]) -> io::Result<()> {
            writer.write_all(chunk)?;
            writer.flush()
        }
        let output = match self {
            Self::Identity => return Ok(chunk),
            Self::Blocks => return Ok(block::compress(&chunk).into()),
            Self::Gzip(writer) => through(writer, &chunk).map(|()| writer.get_mut())?,
            Self::Deflate(writer) => through(writer, &chunk).map(|()| writer.get_mut())?,
            Self::Zstd(writer) => through(writer, &chunk).map(|()| writer.get_mut())?,
            Self::Lz4(writer) => through(writer, &chunk).map(|()| writer.get_mut())?,
            Self::Brotli(writer) => through(writer, &chunk).map(|()| writer.get_mut())?,
        };
        Ok(std::mem::take(output).into())
    }

    /// The end of the wrapping.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Identity | Self::Blocks => Bytes::new(),
            Self::Gzip(writer) => writer.finish()?.into(),
            Self::Deflate(writer) => writer.finish()?.into(),
            Self::Zstd(writer) => writer.finish()?.into(),
            Self::Lz4(writer) => writer.finish().map_err(io::Error::other)?.into(),
            Self::Brotli(writer) => writer.into_inner().into(),
        })
    }
}

/// Unwraps a request's body.
///
/// # Errors
/// An encoding that is not known.
pub(crate) fn decode(
    encoding: &str,
    body: impl Read + Send + 'static,
) -> Result<Box<dyn Read + Send>, Exception> {
    Ok(match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Box::new(body),
        "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(body)),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(body)),
        "zstd" => Box::new(
            zstd::Decoder::new(body).map_err(|error| Exception::new(code::CANNOT_DECOMPRESS, error))?,
        ),
        "lz4" => Box::new(FrameDecoder::new(body)),
        "br" => Box::new(brotli::Decompressor::new(body, 1 << 16)),
        other => {
            let known = "gzip, deflate, zstd, lz4 and br are known";
            return Err(Exception::new(
                code::BAD_ARGUMENTS,
                format!("Unknown Content-Encoding {other}: {known}"),
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_in_chunks_decodes_to_the_whole() {
        use Encoding::{Brotli, Deflate, Gzip, Identity, Lz4, Zstd};
        for encoding in [Identity, Gzip, Deflate, Zstd, Lz4, Brotli] {
            let mut encoder = Encoder::new(encoding).unwrap();
            let mut wire = Vec::new();
            for chunk in ["first ", "second ", &"third".repeat(100_000)] {
                let encoded = encoder.encode(Bytes::from(chunk.to_owned())).unwrap();
                assert!(!encoded.is_empty(), "{encoding:?}: a chunk is sent when it is there");
                wire.extend(encoded);
            }
            wire.extend(encoder.finish().unwrap());
            let mut text = String::new();
            let mut reader = decode(encoding.header().unwrap_or_default(), io::Cursor::new(wire)).unwrap();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("first second {}", "third".repeat(100_000)), "{encoding:?}");
        }
    }

    #[test]
    fn the_cheapest_accepted_one() {
        assert_eq!(Encoding::accepted("gzip, deflate, br, zstd"), Encoding::Zstd);
        assert_eq!(Encoding::accepted("lz4;q=0, GZIP;q=0.5"), Encoding::Gzip);
        assert_eq!(Encoding::accepted("identity"), Encoding::Identity);
        assert_eq!(Encoding::accepted(""), Encoding::Identity);
    }
}
