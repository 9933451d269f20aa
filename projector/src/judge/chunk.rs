//! The rows of consecutive offsets of a partition, ready to be inserted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use infra::traces;
use tracing::Span;

use crate::judge::native::{Columns, Streams};
use crate::judge::row::Row;
use tables::Verdict;

/// The most rows of a chunk. ClickHouse inserts a block all or nothing, and takes a Native block as it comes (a test of
/// `local-stack` shows it). To be safe, a chunk stays below the size at which ClickHouse cuts other formats into
/// blocks: this many rows, or 256 MiB.
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
    /// The traces that sent its records; empty unless traces are exported.
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

    /// The last row goes to no other tables than these.
    pub(crate) fn keep_last_for(&mut self, targets: u8) {
        if let Some(last) = self.columns.targets.last_mut() {
            *last &= targets;
        }
    }

    /// For the last row's offset, these tables keep what they have, and get no row.
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

    pub(crate) fn close(self) -> ClosedChunk {
        let (targets, verdicts, versions, streams) = self.columns.into_streams();
        ClosedChunk {
            start: self.start,
            oldest: self.oldest.unwrap_or(0),
            bytes: self.bytes,
            targets,
            verdicts,
            versions,
            streams,
            traces: self.traces,
            kept: self.kept,
            is_judged_again: false,
        }
    }
}

/// A chunk on its way into the tables, kept until its rows have been seen there.
#[derive(Debug)]
pub(crate) struct ClosedChunk {
    pub start: u64,
    /// Log time of the oldest record, milliseconds.
    pub oldest: i64,
    pub bytes: usize,
    /// For each offset, the tables that get a row.
    pub targets: Vec<u8>,
    pub verdicts: Vec<Verdict>,
    /// The version of the schema that judged each offset.
    pub versions: Vec<u16>,
    /// All other columns.
    pub streams: Streams,
    traces: Vec<Box<str>>,
    /// The offsets for which some tables keep their rows, and those tables: see [`Chunk::keep_last_as_it_is`].
    pub kept: BTreeMap<u64, u8>,
    /// Whether the schema versions of earlier verdicts judged it: then no offset is disputed.
    pub is_judged_again: bool,
}

impl ClosedChunk {
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.rows() as u64
    }

    pub(crate) fn rows(&self) -> usize {
        self.targets.len()
    }

    /// Links the span of an insert with the traces that sent the records.
    pub(crate) fn link(&self, span: &Span) {
        self.traces.iter().for_each(|traceparent| traces::link(span, traceparent));
    }
}
