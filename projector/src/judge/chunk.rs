//! A run of consecutive offsets of one partition, as rows that are ready to be inserted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use infra::traces;
use tracing::Span;

use crate::judge::native::{Columns, block_start};
use crate::judge::row::Row;
use tables::Verdict;

/// Only a block is inserted all or nothing. ClickHouse takes a block of the format Native as it comes (a test of
/// `local-stack` shows it); to be sure a chunk stays below what it would cut other formats into: so many rows, 256 MiB.
pub(crate) const MAX_BLOCK_ROWS: usize = 1_048_449;

/// The rows of `[start, start + rows)`. Row `i` belongs to offset `start + i`: every offset has one.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub start: u64,
    columns: Columns,
    bytes: usize,
    /// When the first row came; `None` while there is none.
    pub opened: Option<Instant>,
    /// Log time of the oldest record, milliseconds.
    oldest: Option<i64>,
    /// Traces that brought its records, if anybody is told of them.
    traces: Vec<Box<str>>,
    kept: BTreeMap<u64, u8>,
}

impl Chunk {
    pub(crate) fn new(start: u64) -> Self {
        Self {
            start,
            columns: Columns::default(),
            bytes: 0,
            opened: None,
            oldest: None,
            traces: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.rows() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    pub(crate) fn rows(&self) -> usize {
        self.columns.targets.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends the row of the offset `end()`.
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        assert_eq!(row.place.offset, self.end(), "the rows of a chunk are consecutive");
        self.oldest.get_or_insert(row.place.log_time);
        if traces::are_exported() {
            self.trace(row.traceparent);
        }
        self.bytes += self.columns.push(row);
    }

    /// The last row is for these tables at most.
    pub(crate) fn keep_last_for(&mut self, targets: u8) {
        if let Some(last) = self.columns.targets.last_mut() {
            *last &= targets;
        }
    }

    /// What these tables have of the last row's offset stays there, whatever it is, and nothing is added to it.
    pub(crate) fn keep_last_as_it_is(&mut self, targets: u8) {
        self.keep_last_for(!targets);
        self.kept.insert(self.end() - 1, targets);
    }

    fn trace(&mut self, traceparent: &str) {
        let is_new = || self.traces.iter().all(|known| **known != *traceparent);
        if !traceparent.is_empty() && self.traces.len() < traces::MAX_LINKS && is_new() {
            self.traces.push(traceparent.into());
        }
    }

    /// Closes the chunk: no row is added any more.
    pub(crate) fn close(self) -> ClosedChunk {
        let (targets, verdicts, versions, rest) = self.columns.into_pieces();
        ClosedChunk {
            start: self.start,
            oldest: self.oldest.unwrap_or(0),
            bytes: self.bytes,
            targets,
            verdicts,
            versions,
            rest,
            traces: self.traces,
            kept: self.kept,
            is_judged_again: false,
        }
    }
}

/// A chunk as it is inserted, and kept until the insert has been seen in the tables.
#[derive(Debug)]
pub(crate) struct ClosedChunk {
    pub start: u64,
    /// Log time of the oldest record, milliseconds.
    pub oldest: i64,
    pub bytes: usize,
    /// For each offset the tables that get a row of it.
    pub targets: Vec<u8>,
    pub verdicts: Vec<Verdict>,
    /// Of the schemas that judged.
    pub versions: Vec<u16>,
    /// All other columns.
    rest: Vec<Bytes>,
    traces: Vec<Box<str>>,
    /// Offsets of which some tables have what they are to have, and which tables: see [`Chunk::keep_last_as_it_is`].
    pub kept: BTreeMap<u64, u8>,
    /// Whether what had a verdict was judged by what judged it before: then nothing of it is disputed any more.
    pub is_judged_again: bool,
}

impl ClosedChunk {
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.rows() as u64
    }

    pub(crate) fn rows(&self) -> usize {
        self.targets.len()
    }

    /// The span of its insert, linked with the traces that brought its records.
    pub(crate) fn span(&self, partition: i32) -> Span {
        let Range { start, end } = self.range();
        let span = tracing::info_span!(target: traces::TARGET, "insert", partition, start, end);
        self.traces.iter().for_each(|traceparent| traces::link(&span, traceparent));
        span
    }

    /// One block in the format Native, of rows for these tables: `targets[i]` are those of the `i`-th offset. Cheap.
    pub(crate) fn block(&self, targets: &[u8]) -> impl Iterator<Item = Bytes> {
        debug_assert_eq!(targets.len(), self.rows());
        std::iter::once(block_start(targets)).chain(self.rest.iter().cloned())
    }
}
