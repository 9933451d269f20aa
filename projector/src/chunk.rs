//! A run of consecutive offsets of one partition, as rows that are ready to be inserted.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use infra::traces;
use schemas::Judgement;
use tracing::Span;
use uuid::Uuid;

use crate::row::{self, Place, VERDICT_AT, Verdict};

/// The rows of `[start, start + rows)`. Row `i` belongs to offset `start + i`: every offset has one.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub start: u64,
    bytes: Vec<u8>,
    /// Where each row begins in `bytes`.
    rows: Vec<u32>,
    /// When the first row came; `None` while there is none.
    pub opened: Option<Instant>,
    /// Log time of the oldest record, milliseconds.
    oldest: Option<i64>,
    /// Traces that brought its records, if anybody is told of them.
    traces: Vec<Box<str>>,
}

impl Chunk {
    pub(crate) fn new(start: u64) -> Self {
        Self { start, bytes: Vec::new(), rows: Vec::new(), opened: None, oldest: None, traces: Vec::new() }
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.rows.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn judged(&mut self, place: Place, judgement: &Judgement<'_>, raw: &[u8]) -> Verdict {
        self.begin_row(place);
        if traces::are_exported() {
            self.trace(judgement.traceparent);
        }
        row::judged(&mut self.bytes, place, judgement, raw)
    }

    pub(crate) fn duplicate(&mut self, place: Place, judgement: &Judgement<'_>, first: u64) {
        self.begin_row(place);
        row::duplicate(&mut self.bytes, place, judgement, first);
    }

    pub(crate) fn absent(&mut self, place: Place) {
        self.begin_row(place);
        row::absent(&mut self.bytes, place);
    }

    pub(crate) fn erased(&mut self, place: Place, judgement: &Judgement<'_>, first: u64) {
        self.begin_row(place);
        row::erased(&mut self.bytes, place, judgement, first);
    }

    pub(crate) fn erasure(&mut self, place: Place, event_id: Uuid, session: &[u8; 32]) {
        self.begin_row(place);
        row::erasure(&mut self.bytes, place, event_id, session);
    }

    /// The last row is for these tables at most.
    pub(crate) fn keep_last_for(&mut self, targets: u8) {
        if let Some(start) = self.rows.last() {
            self.bytes[*start as usize] &= targets;
        }
    }

    fn trace(&mut self, traceparent: &str) {
        let is_new = || self.traces.iter().all(|known| **known != *traceparent);
        if !traceparent.is_empty() && self.traces.len() < traces::MAX_LINKS && is_new() {
            self.traces.push(traceparent.into());
        }
    }

    fn begin_row(&mut self, place: Place) {
        assert_eq!(place.offset, self.end(), "the rows of a chunk are consecutive");
        self.oldest.get_or_insert(place.log_time);
        self.rows.push(u32::try_from(self.bytes.len()).expect("a chunk is far below 4 GiB"));
    }

    /// Closes the chunk: no row is added any more.
    pub(crate) fn close(self) -> ClosedChunk {
        ClosedChunk {
            start: self.start,
            oldest: self.oldest.unwrap_or(0),
            bytes: self.bytes.into(),
            rows: self.rows,
            traces: self.traces,
        }
    }
}

/// A chunk as it is inserted, and kept until the insert has been seen in the tables.
#[derive(Debug)]
pub(crate) struct ClosedChunk {
    pub start: u64,
    /// Log time of the oldest record, milliseconds.
    pub oldest: i64,
    bytes: Bytes,
    rows: Vec<u32>,
    traces: Vec<Box<str>>,
}

impl ClosedChunk {
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.rows.len() as u64
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The span of its insert, linked with the traces that brought its records.
    pub(crate) fn span(&self, partition: i32) -> Span {
        let Range { start, end } = self.range();
        let span = tracing::info_span!(target: traces::TARGET, "insert", partition, start, end);
        self.traces.iter().for_each(|traceparent| traces::link(&span, traceparent));
        span
    }

    /// All rows, RowBinary; cheap.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The verdict on the `index`-th offset.
    pub(crate) fn verdict(&self, index: usize) -> Verdict {
        Verdict::from_number(self.bytes[self.rows[index] as usize + VERDICT_AT]).expect("written by row.rs")
    }

    /// The tables that get a row of the `index`-th offset.
    pub(crate) fn targets(&self, index: usize) -> u8 {
        self.bytes[self.rows[index] as usize]
    }

    /// The rows of which `masks` wants at least one table, for these tables only. `masks[i]` is of the
    /// `i`-th offset; bits of tables that get no row of it are ignored.
    pub(crate) fn masked(&self, masks: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, mask) in masks.iter().enumerate() {
            let from = self.rows[index] as usize;
            let to = self.rows.get(index + 1).map_or(self.bytes.len(), |next| *next as usize);
            let targets = self.bytes[from] & mask;
            if targets != 0 {
                out.push(targets);
                out.extend_from_slice(&self.bytes[from + 1..to]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{EVENTS, LEDGER};

    #[test]
    fn a_mask_picks_rows_and_their_tables() {
        let mut chunk = Chunk::new(7);
        for offset in 7..10 {
            chunk.absent(Place { partition: 1, offset, log_time: 5 });
        }
        let closed = chunk.close();
        assert_eq!((closed.range(), closed.rows(), closed.oldest), (7..10, 3, 5));
        assert_eq!(closed.verdict(2), Verdict::Absent);
        let one_row = closed.bytes().len() / 3;
        assert_eq!(closed.masked(&[0, LEDGER | EVENTS, EVENTS]), &closed.bytes()[one_row..2 * one_row]);
    }
}
