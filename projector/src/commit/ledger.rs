//! What the tables say of a partition: how far its ledger goes, and each row's verdict.

use std::collections::BTreeMap;
use std::ops::Range;

use clickhouse::Row;
use infra::database::within;
use serde::Deserialize;
use tables::verdict::{EVENTS, LEDGER, REJECTIONS};
use tables::{Verdict, account};

use crate::database::{ANSWER, Database};
use crate::error::Result;
use crate::judge::projection::Past;

/// The number of a verdict and the version of the schema that judged.
pub(crate) type Claim = (u8, u16);

/// The contiguous account that the ledger gives of a partition, by its cheap projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub(crate) struct Extent {
    pub rows: u64,
    pub first: u64,
    pub last: u64,
    /// Of all offsets, modulo 2^64.
    pub sum: u64,
    /// Milliseconds.
    pub log_time: i64,
}

impl Extent {
    /// No gap and no overlap: as many rows as offsets, and they add up to what the offsets add up to.
    pub(crate) fn is_contiguous(&self) -> bool {
        account::is_contiguous(self.rows, self.first, self.last, self.sum)
    }
}

impl Database {
    /// What the ledger holds of a partition.
    pub(crate) async fn extent(&self, partition: i32) -> Result<Extent> {
        let query = self.query(include_str!("ledger/extent.sql")).param("partition", partition);
        Ok(within(ANSWER, query.fetch_one()).await?)
    }

    /// The first offset at or after `from` that the ledger lacks.
    pub(crate) async fn first_gap(&self, partition: i32, from: u64) -> Result<u64> {
        let query = self.query(include_str!("ledger/first_gap.sql"));
        let query = query.param("partition", partition).param("from", from);
        Ok(within(ANSWER, query.fetch_one()).await?)
    }

    /// The log time of the last row before `offset`, the largest until there; 0 if there is none.
    pub(crate) async fn log_time_before(&self, partition: i32, offset: u64) -> Result<i64> {
        let sql = "SELECT toUnixTimestamp64Milli(max(log_time)) FROM {database}.ledger \
                   WHERE partition = {partition:UInt16} AND offset = {offset:UInt64}";
        let query = self.query(sql).param("partition", partition).param("offset", offset.saturating_sub(1));
        Ok(within(ANSWER, query.fetch_one()).await?)
    }

    /// What the tables say of the offsets of `range`. Where the ledger has no row, or several that differ, the row of
    /// `events` or `rejections` decides; what they do not decide is left out.
    pub(crate) async fn past(&self, partition: i32, range: &Range<u64>) -> Result<BTreeMap<u64, Past>> {
        let mut rows: Vec<(u64, bool, Claim)> = Vec::new();
        for (target, table) in [(LEDGER, "ledger"), (EVENTS, "events"), (REJECTIONS, "rejections")] {
            let see = |offset, claim| rows.push((offset, target == LEDGER, claim));
            self.claims(target, table, partition, range, see).await?;
        }
        rows.sort_unstable();
        rows.dedup();
        let past = |rows: &[(u64, bool, Claim)]| {
            let (others, ledger) = rows.split_at(rows.partition_point(|(_, is_ledger, _)| !is_ledger));
            let agrees = |row: &&(u64, bool, Claim)| others.iter().any(|other| other.2 == row.2);
            let (offset, _, (verdict, schema_version)) = match (ledger, others) {
                ([one], _) | ([], [one]) => *one,
                _ => {
                    let mut agreeing = ledger.iter().filter(agrees);
                    agreeing.next().filter(|_| agreeing.next().is_none()).copied()?
                }
            };
            Some((
                offset,
                Past { verdict: Verdict::of(verdict)?, schema_version, is_lost: ledger.is_empty() },
            ))
        };
        Ok(rows.chunk_by(|one, next| one.0 == next.0).filter_map(past).collect())
    }

    /// For each row of a target in `range` its offset, and what it claims of it.
    pub(crate) async fn claims(
        &self,
        target: u8,
        table: &str,
        partition: i32,
        range: &Range<u64>,
        mut see: impl FnMut(u64, Claim),
    ) -> Result<()> {
        let said = match target {
            LEDGER => "toInt8(verdict), schema_version".to_owned(),
            EVENTS => format!("toInt8({}), schema_version", Verdict::Accepted as u8),
            REJECTIONS => format!("toInt8({}), schema_version", Verdict::Rejected as u8),
            _ => format!("toInt8({}), toUInt16(0)", Verdict::Erasure as u8),
        };
        let sql = format!(
            "SELECT offset, {said} FROM {{database}}.{table} \
             WHERE partition = {{partition:UInt16}} AND offset >= {{from:UInt64}} AND offset < {{to:UInt64}}"
        );
        let row = |row: &[u8; 11]| {
            let [offset @ .., verdict, low, high] = *row;
            see(u64::from_le_bytes(offset), (verdict, u16::from_le_bytes([low, high])));
        };
        let query = self.query(&sql).param("partition", partition);
        Self::read(query.param("from", range.start).param("to", range.end), row).await
    }
}
