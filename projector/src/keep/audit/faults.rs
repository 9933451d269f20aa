//! Counts what is wrong with the tables: cheaply by totals, exactly by range.

use std::ops::Range;

use clickhouse::Row;
use serde::Deserialize;
use tables::account;

use crate::commit::ledger::Extent;
use crate::database::Database;
use crate::error::Result;

/// The faults of a range. It adds up if all are zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Row, Deserialize)]
pub(crate) struct Faults {
    /// Offsets without a verdict.
    pub gaps: u64,
    /// Rows of an offset beyond its first, in all tables.
    pub doubled: u64,
    pub events_missing: u64,
    pub rejections_missing: u64,
    pub erasures_missing: u64,
    /// Rows of events, rejections or erasures for which the ledger has another verdict or none.
    pub surplus: u64,
    /// Offsets of erased sessions for which the ledger still names the session.
    pub not_erased: u64,
}

impl Faults {
    pub(crate) fn total(&self) -> u64 {
        self.gaps
            + self.doubled
            + self.events_missing
            + self.rejections_missing
            + self.erasures_missing
            + self.surplus
            + self.not_erased
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.gaps += other.gaps;
        self.doubled += other.doubled;
        self.events_missing += other.events_missing;
        self.rejections_missing += other.rejections_missing;
        self.erasures_missing += other.erasures_missing;
        self.surplus += other.surplus;
        self.not_erased += other.not_erased;
    }
}

/// The totals of a partition, see `audit/totals.sql`.
#[derive(Debug, Clone, Default, Row, Deserialize)]
pub(crate) struct Totals {
    pub partition: u16,
    pub ledger_rows: u64,
    pub ledger_first: u64,
    pub ledger_last: u64,
    pub ledger_sum: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub duplicates: u64,
    pub absent: u64,
    pub lost: u64,
    pub erased: u64,
    pub erasure_records: u64,
    events_off: (i64, i64),
    rejections_off: (i64, i64),
    erasures_off: (i64, i64),
}

/// How far ledger, events, rejections and erasures are off: rows, sum of offsets.
pub(crate) type Off = [(i64, i64); 4];

impl Totals {
    /// The cheap check: no gap, no doubled offset, and as many rows as verdicts.
    pub(crate) fn add_up(&self) -> bool {
        let ledger = Extent {
            rows: self.ledger_rows,
            first: self.ledger_first,
            last: self.ledger_last,
            sum: self.ledger_sum,
            log_time: 0,
        };
        ledger.is_contiguous() && self.off() == Off::default()
    }

    pub(crate) fn off(&self) -> Off {
        let ledger = account::off(self.ledger_rows, self.ledger_first, self.ledger_last, self.ledger_sum);
        [ledger, self.events_off, self.rejections_off, self.erasures_off]
    }
}

pub(crate) async fn totals(database: &Database) -> Result<Vec<Totals>> {
    Ok(database.query(include_str!("totals.sql")).fetch_all().await?)
}

pub(crate) async fn faults(database: &Database, partition: i32, range: &Range<u64>) -> Result<Faults> {
    let query = database.query(include_str!("range.sql")).param("partition", partition);
    Ok(query.param("from", range.start).param("to", range.end).fetch_one().await?)
}
