//! ClickHouse's own compression framing (`compress=1`, `decompress=1`): blocks of
//!
//! ```text
//! CityHash128 v1.0.2 of the rest (16 bytes: low, high) | method (1) | size with this header (4, LE) | size of the data (4, LE) | data
//! ```

use std::io::{self, Read};

use super::exception::{Exception, code};

const HEADER: usize = 9;
const CHECKSUM: usize = 16;
const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
const NONE: u8 = 0x02;
/// The largest block that is taken, compressed or not (ClickHouse allows 1 GiB; its clients send 1 MiB).
const LARGEST: usize = 128 << 20;
/// How much data goes into one block of an answer.
const BLOCK: usize = 1 << 20;

/// `data` as a sequence of LZ4 blocks.
pub(crate) fn compress(data: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(data.len() / 2 + 64);
    for part in data.chunks(BLOCK) {
        let start = output.len();
        output.resize(start + CHECKSUM + HEADER + lz4_flex::block::get_maximum_output_size(part.len()), 0);
        // The space is the maximum that LZ4 may need.
        let size =
            lz4_flex::block::compress_into(part, &mut output[start + CHECKSUM + HEADER..]).unwrap_or(0);
        output.truncate(start + CHECKSUM + HEADER + size);
        let header = &mut output[start + CHECKSUM..start + CHECKSUM + HEADER];
        header[0] = LZ4;
        header[1..5].copy_from_slice(&((size + HEADER) as u32).to_le_bytes());
        header[5..9].copy_from_slice(&(part.len() as u32).to_le_bytes());
        let checksum = checksum(&output[start + CHECKSUM..]);
        output[start..start + CHECKSUM].copy_from_slice(&checksum);
    }
    output
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    // The crate's number has the halves the other way round.
    cityhash_rs::cityhash_102_128(bytes).rotate_left(64).to_le_bytes()
}

/// Reads blocks from `source` and gives their data.
pub(crate) struct Decompress<R> {
    source: R,
    data: Vec<u8>,
    at: usize,
}

impl<R: Read> Decompress<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, data: Vec::new(), at: 0 }
    }

    /// False at the end of the source.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut head = [0; CHECKSUM + HEADER];
        let mut filled = 0;
        while filled < head.len() {
            match self.source.read(&mut head[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(broken("a compressed block ends early")),
                read => filled += read,
            }
        }
        let size =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (compressed, plain) = (size(CHECKSUM + 1), size(CHECKSUM + 5));
        if !(HEADER..=LARGEST).contains(&compressed) || plain > LARGEST {
            return Err(broken("a compressed block has an impossible size: is the data compressed at all?"));
        }
        let mut block = head[CHECKSUM..].to_vec();
        let wanted = (compressed - HEADER) as u64;
        if self.source.by_ref().take(wanted).read_to_end(&mut block)? as u64 != wanted {
            return Err(broken("a compressed block ends early"));
        }
        if checksum(&block) != head[..CHECKSUM] {
            return Err(broken("the checksum of a compressed block does not match: the data was damaged"));
        }
        self.data.clear();
        self.at = 0;
        match block[0] {
            LZ4 => {
                self.data.resize(plain, 0);
                let size = lz4_flex::block::decompress_into(&block[HEADER..], &mut self.data);
                if size.ok() != Some(plain) {
                    return Err(broken("a compressed block does not decompress"));
                }
            }
            ZSTD => {
                let limit = plain as u64;
                zstd::Decoder::new(&block[HEADER..])?.take(limit).read_to_end(&mut self.data)?;
                if self.data.len() != plain {
                    return Err(broken("a compressed block does not decompress"));
                }
            }
            NONE => self.data.extend_from_slice(&block[HEADER..]),
            method => return Err(broken(&format!("unknown compression method {method:#x}"))),
        }
        Ok(true)
    }
}

impl<R: Read> Read for Decompress<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.data.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let size = buffer.len().min(self.data.len() - self.at);
        buffer[..size].copy_from_slice(&self.data[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

fn broken(message: &str) -> io::Error {
    io::Error::other(Exception::new(code::CANNOT_DECOMPRESS, message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        Decompress::new(bytes).read_to_end(&mut data).map(|_| data)
    }

    /// The block that ClickHouse's own `clickhouse-compressor` makes of "abcabcabcabcabcabc".
    #[test]
    fn a_block_that_another_implementation_made() {
        let block = include_bytes!("../../tests/data/block-lz4.bin");
        assert_eq!(read(block).unwrap(), include_bytes!("../../tests/data/block-lz4.txt"));
    }

    #[test]
    fn damage_is_noticed() {
        let whole = compress(b"some data that is long enough");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged).is_err(), "byte {at}");
            assert!(at == 0 || read(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(data in proptest::collection::vec(any::<u8>(), 0..5000), times in 0_usize..400) {
            let data = data.repeat(times);
            prop_assert_eq!(read(&compress(&data)).unwrap(), data);
        }

        #[test]
        fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&data);
        }
    }
}
