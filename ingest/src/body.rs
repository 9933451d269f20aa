//! A body as it arrives: bounded in bytes, time and inflation.

use std::io::{self, Read};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::config::Limits;
use crate::error::Error;
use crate::slice::Form;

/// Memory for bodies, shared by all requests.
pub(crate) struct Bodies {
    limits: Limits,
    /// In KiB.
    room: Semaphore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
    Brotli,
    Deflate,
}

impl Bodies {
    pub(crate) fn new(limits: Limits) -> Self {
        let room = Semaphore::new(limits.max_bodies_bytes / 1024);
        Self { limits, room }
    }

    /// Reads and inflates a body. The permit stands for its memory: keep it as long as the bytes.
    ///
    /// # Errors
    /// Too large, too slow, incomplete, of an unknown or a wrong encoding; no room at the moment.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<(Bytes, SemaphorePermit<'_>), Error> {
        let limit = self.limits.max_body_bytes;
        let encoding = encoding(headers)?;
        // A body without a length, or one to be inflated, may become as large as the limit.
        let announced = match (encoding, content_length(headers)) {
            (_, Some(length)) if length > limit => return Err(Error::BodyTooLarge(limit)),
            (Encoding::Identity, Some(length)) => length,
            _ => limit,
        };
        let mut permit = self.room_for(announced)?;
        let collected = timeout(self.limits.read, Limited::new(body, limit).collect()).await;
        let sent = match collected {
            Err(_) => return Err(Error::BodyTooSlow(self.limits.read.as_secs())),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Error::BodyTooLarge(limit));
            }
            Ok(Err(_)) => return Err(Error::Incomplete),
            Ok(Ok(sent)) => sent.to_bytes(),
        };
        let bytes = inflate(encoding, sent, limit)?;
        // The body is mostly far smaller, and keeps its room until the brokers have answered.
        drop(permit.split(permit.num_permits().saturating_sub(bytes.len().div_ceil(1024))));
        Ok((bytes, permit))
    }

    /// Room for more bytes of a request.
    ///
    /// # Errors
    /// There is none at the moment.
    pub(crate) fn room_for(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Error> {
        let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.room.try_acquire_many(kibibytes).map_err(|_| Error::Full(1))
    }
}

/// How the events of a body follow one another.
///
/// # Errors
/// A content type that is none of ours.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, Error> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Form::Json) };
    let value = value.to_str().map_err(|_| Error::MediaType)?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    if is("application/json") || is("text/plain") {
        Ok(Form::Json)
    } else if is("application/x-ndjson") || is("application/ndjson") || is("application/jsonl") {
        Ok(Form::Lines)
    } else {
        Err(Error::MediaType)
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        "br" => Ok(Encoding::Brotli),
        "deflate" => Ok(Encoding::Deflate),
        _ => Err(Error::Encoding),
    }
}

fn inflate(encoding: Encoding, sent: Bytes, limit: usize) -> Result<Bytes, Error> {
    let inflated = match encoding {
        Encoding::Identity => return Ok(sent),
        Encoding::Gzip => take(flate2::read::MultiGzDecoder::new(&*sent), limit),
        Encoding::Zstd => zstd::Decoder::new(&*sent).and_then(|decoder| take(decoder, limit)),
        Encoding::Brotli => brotli_stream(&sent, limit),
        // HTTP's deflate is zlib's format, but some senders leave its header out.
        Encoding::Deflate if sent.first().is_some_and(|byte| byte & 0x0f == 8) => {
            let mut decoder = flate2::bufread::ZlibDecoder::new(&*sent);
            take(&mut decoder, limit).and_then(|bytes| ends_here(bytes, decoder.into_inner()))
        }
        Encoding::Deflate => {
            let mut decoder = flate2::bufread::DeflateDecoder::new(&*sent);
            take(&mut decoder, limit).and_then(|bytes| ends_here(bytes, decoder.into_inner()))
        }
    };
    match inflated {
        Ok(Some(bytes)) => Ok(bytes.into()),
        Ok(None) => Err(Error::BodyTooLarge(limit)),
        Err(error) => Err(Error::Inflate(error.to_string())),
    }
}

/// All of a reader, or `None` if it has more than `limit` bytes.
fn take(reader: impl Read, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// gzip and zstd define what joined streams are: the joined content. The other formats do not, and a decoder that stops
/// at the first end would lose the events behind it, so their senders are told.
fn ends_here(bytes: Option<Vec<u8>>, rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    match bytes {
        Some(_) if !rest.is_empty() => {
            let said = format!("{} bytes follow the end of the packed stream: send one stream", rest.len());
            Err(io::Error::new(io::ErrorKind::InvalidData, said))
        }
        bytes => Ok(bytes),
    }
}

/// As [`take`], of one brotli stream that must end where the body does. Not by `brotli::Decompressor`: it does not say
/// where its stream ended.
fn brotli_stream(sent: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    use brotli::enc::StandardAlloc as Alloc;
    use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
    let mut state = BrotliState::new(Alloc::default(), Alloc::default(), Alloc::default());
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    let (mut left, mut at, mut total) = (sent.len(), 0, 0);
    loop {
        let (mut room, mut filled) = (piece.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            sent,
            &mut room,
            &mut filled,
            &mut piece,
            &mut total,
            &mut state,
        );
        bytes.extend_from_slice(piece.get(..filled).unwrap_or_default());
        if bytes.len() > limit {
            return Ok(None);
        }
        match result {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess => return ends_here(Some(bytes), sent.get(at..).unwrap_or_default()),
            BrotliResult::NeedsMoreInput => return Err(io::ErrorKind::UnexpectedEof.into()),
            BrotliResult::ResultFailure => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not a brotli stream"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn packed(text: &[u8]) -> Vec<(Encoding, Vec<u8>)> {
        let level = flate2::Compression::default();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
        gzip.write_all(text).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
        zlib.write_all(text).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), level);
        raw.write_all(text).unwrap();
        let mut br = Vec::new();
        brotli::CompressorWriter::new(&mut br, 4096, 5, 22).write_all(text).unwrap();
        vec![
            (Encoding::Identity, text.to_vec()),
            (Encoding::Gzip, gzip.finish().unwrap()),
            (Encoding::Deflate, zlib.finish().unwrap()),
            (Encoding::Deflate, raw.finish().unwrap()),
            (Encoding::Brotli, br),
            (Encoding::Zstd, zstd::encode_all(text, 3).unwrap()),
        ]
    }

    #[test]
    fn every_encoding_inflates_to_what_was_packed() {
        for (encoding, bytes) in packed(b"{\"a\":1}") {
            assert_eq!(&*inflate(encoding, bytes.into(), 100).unwrap(), b"{\"a\":1}", "{encoding:?}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        for (encoding, bytes) in packed(&vec![b' '; 10_000_000]).into_iter().skip(1) {
            assert_eq!(inflate(encoding, bytes.into(), 1000), Err(Error::BodyTooLarge(1000)), "{encoding:?}");
        }
    }

    #[test]
    fn joined_streams_are_taken_whole_or_refused() {
        let (first, second) = (packed(b"{\"a\":1}\n"), packed(b"{\"b\":2}\n"));
        for ((encoding, mut joined), (_, second)) in first.into_iter().zip(second) {
            joined.extend(second);
            let whole = Ok(Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n"));
            let inflated = inflate(encoding, joined.into(), 100);
            let is_refused = matches!(&inflated, Err(Error::Inflate(why)) if why.contains("send one stream"));
            let takes_joined = matches!(encoding, Encoding::Identity | Encoding::Gzip | Encoding::Zstd);
            assert!(if takes_joined { inflated == whole } else { is_refused }, "{encoding:?}: {inflated:?}");
        }
    }

    #[test]
    fn a_stream_without_its_end_is_refused() {
        let text: Vec<u8> = (0..2000u32).flat_map(|n| n.to_le_bytes()).collect();
        for (encoding, bytes) in packed(&text).into_iter().skip(1) {
            let cut = Bytes::from(bytes[..bytes.len() - 5].to_vec());
            let inflated = inflate(encoding, cut, 100_000);
            assert!(
                matches!(inflated, Err(Error::Inflate(_))),
                "{encoding:?}: {:?}",
                inflated.map(|b| b.len())
            );
        }
    }

    #[test]
    fn what_is_not_packed_is_an_error() {
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd] {
            let result = inflate(encoding, Bytes::from_static(b"{\"a\":\"plainly no archive\"}"), 1000);
            assert!(matches!(result, Err(Error::Inflate(_))), "{encoding:?}: {result:?}");
        }
    }
}
