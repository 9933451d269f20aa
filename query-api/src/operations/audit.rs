//! Does it all add up: the log, the ledger and the tables against each other.

use std::collections::BTreeSet;

use axum::response::Response;
use clickhouse::Row;
use clickhouse::query::Query;
use infra::database::within;
use serde::{Deserialize, Serialize};
use tables::account;
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::database::Database;
use crate::error::Error;
use crate::params::{NoParams, Params};
use crate::sql::Form::Is;
use crate::values::Verdict;

/// One partition's account.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct PartitionAudit {
    pub partition: u16,
    /// First offset of the log; null if no broker answered.
    pub log_start: Option<u64>,
    /// Next offset of the log; null if no broker answered.
    pub log_end: Option<u64>,
    /// First offset of the ledger.
    pub ledger_start: u64,
    /// Next offset of the ledger.
    pub ledger_end: u64,
    /// Offsets that still wait for their verdict.
    pub lag: Option<u64>,
    /// Offset ranges `[start, end)` of the ledger without a verdict; the first 100.
    pub gaps: Vec<(u64, u64)>,
    /// How many verdicts are too many.
    pub overlaps: u64,
    pub verdicts: Verdicts,
    /// First offset of which events and rejections are kept; 0 without retention.
    pub kept_from: u64,
    /// Rows of `events`. There must be one for each accepted record from `kept_from` on.
    pub events: u64,
    /// Rows of `rejections`. There must be one for each rejected record from `kept_from` on.
    pub rejections: u64,
    /// Rows of `erasures`. There must be one for each request to erase a session.
    pub erasures: u64,
    pub adds_up: bool,
    /// What does not add up, in words.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verdicts {
    pub accepted: u64,
    pub rejected: u64,
    pub duplicate: u64,
    /// Offsets that the log itself leaves out, such as transaction markers.
    pub absent: u64,
    /// Records that the log lost before they were judged.
    pub lost: u64,
    /// Records of sessions that are erased.
    pub erased: u64,
    /// Requests to erase a session.
    pub erasure: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Audit {
    pub adds_up: bool,
    /// Whether the brokers answered. If not, the ends of the log were not compared.
    pub log_compared: bool,
    pub verdicts: Verdicts,
    pub partitions: Vec<PartitionAudit>,
}

#[derive(Row, Deserialize)]
struct VerdictCount {
    partition: u16,
    verdict: Verdict,
    records: u64,
    first: u64,
    last: u64,
    sum: u64,
}

/// What the ledger and the tables hold.
struct Held {
    verdicts: Vec<VerdictCount>,
    /// Partition, rows of events, rows of rejections, rows of erasures.
    tables: Vec<(u16, u64, u64, u64)>,
    /// If retention is on: partition, first offset that is kept, events that are due, rejections that are due.
    due: Vec<(u16, u64, u64, u64)>,
    /// Partition, and why its log is another one.
    breaks: Vec<(u16, String)>,
}

/// How often a partition that does not add up is looked at again.
const LOOKS: u32 = 3;

/// Whether every offset of the log has exactly one verdict, and every verdict its row; and where not.
/// `projector audit --heal` repairs what this finds.
#[utoipa::path(get, path = "/v1/audit", tag = "Operations", responses((status = 200, body = Audit)))]
pub async fn audit(ask: Ask, Params(_): Params<NoParams>) -> Result<Response, Error> {
    let log = ask.app.log.clone();
    let patience = ask.app.config.limits.patience();
    // There is no ETag: the ledger may be unchanged, and the log have moved on.
    ask.always(async |database, _| {
        // The log comes first. Records that are appended meanwhile are lag then, not a surplus of the ledger.
        let bounds = log.bounds().await;
        let held = within(patience, Held::read(database, None)).await?;
        let with_rows =
            held.verdicts.iter().map(|count| count.partition).chain(held.tables.iter().map(|row| row.0));
        let known: BTreeSet<u16> = bounds.keys().copied().chain(with_rows).collect();
        let mut partitions = Vec::new();
        for partition in known {
            let mut bounds = bounds.get(&partition).copied();
            let (mut account, _) = held.account(partition, bounds);
            // The log moves on from statement to statement. A partition that does not add up is looked at again, with
            // all statements below one offset; and several times, because an insert reaches one table after another,
            // too.
            for _ in 0..LOOKS {
                if account.adds_up {
                    break;
                }
                // An end that the ledger has passed is an old one, or that of another log.
                if bounds.is_some_and(|(_, end)| account.ledger_end > end) {
                    bounds = log.bounds().await.get(&partition).copied();
                }
                account = within(patience, account_below(database, partition, bounds)).await?;
            }
            partitions.push(account);
        }
        let mut verdicts = Verdicts::default();
        for partition in &partitions {
            verdicts.accepted += partition.verdicts.accepted;
            verdicts.rejected += partition.verdicts.rejected;
            verdicts.duplicate += partition.verdicts.duplicate;
            verdicts.absent += partition.verdicts.absent;
            verdicts.lost += partition.verdicts.lost;
            verdicts.erased += partition.verdicts.erased;
            verdicts.erasure += partition.verdicts.erasure;
        }
        let adds_up = partitions.iter().all(|partition| partition.adds_up);
        Ok(Audit { adds_up, log_compared: !bounds.is_empty(), verdicts, partitions })
    })
    .await
}

/// The account of a partition below the offset that it has reached.
async fn account_below(
    database: &Database,
    partition: u16,
    bounds: Option<(u64, u64)>,
) -> Result<PartitionAudit, Error> {
    let end: u64 =
        database.query("operations/end.sql", [])?.param("partition", partition).fetch_one().await?;
    let held = Held::read(database, Some((partition, end))).await?;
    let (mut account, is_whole) = held.account(partition, bounds);
    if !is_whole {
        let below = |file: &str| -> Result<Query, Error> {
            Ok(database.query(file, [])?.param("partition", partition).param("end", end))
        };
        account.gaps = below("operations/gaps.sql")?.fetch_all().await?;
        account.overlaps = below("operations/overlaps.sql")?.fetch_one().await?;
        let found = format!("{} gaps and {} overlaps in the ledger", account.gaps.len(), account.overlaps);
        account.problems.insert(0, found);
    }
    Ok(account)
}

impl Held {
    /// Reads all partitions, or one below an offset.
    async fn read(database: &Database, below: Option<(u16, u64)>) -> Result<Self, Error> {
        let query = |file: &str| -> Result<Query, Error> {
            let (partition, end) = below.unwrap_or_default();
            let query = database.query(file, [("below", Is(below.is_some()))])?;
            Ok(query.param("partition", partition).param("end", end))
        };
        Ok(Self {
            verdicts: query("operations/verdicts.sql")?.fetch_all().await?,
            tables: query("operations/tables.sql")?.fetch_all().await?,
            due: query("operations/due.sql")?.fetch_all().await?,
            breaks: database.query("operations/breaks.sql", [])?.fetch_all().await?,
        })
    }

    /// A partition's account, and whether its ledger has each offset once.
    fn account(&self, partition: u16, bounds: Option<(u64, u64)>) -> (PartitionAudit, bool) {
        let mut account = PartitionAudit { partition, ..Default::default() };
        let counts: Vec<&VerdictCount> =
            self.verdicts.iter().filter(|count| count.partition == partition).collect();
        for count in &counts {
            let records = match count.verdict {
                Verdict::Accepted => &mut account.verdicts.accepted,
                Verdict::Rejected => &mut account.verdicts.rejected,
                Verdict::Duplicate => &mut account.verdicts.duplicate,
                Verdict::Absent => &mut account.verdicts.absent,
                Verdict::Lost => &mut account.verdicts.lost,
                Verdict::Erased => &mut account.verdicts.erased,
                Verdict::Erasure => &mut account.verdicts.erasure,
            };
            *records = count.records;
        }
        let records: u64 = counts.iter().map(|count| count.records).sum();
        let first = counts.iter().map(|count| count.first).min();
        let last = counts.iter().map(|count| count.last).max();
        let mut is_whole = true;
        if let (Some(first), Some(last)) = (first, last) {
            (account.ledger_start, account.ledger_end) = (first, last + 1);
            let sum = counts.iter().fold(0u64, |sum, count| sum.wrapping_add(count.sum));
            is_whole = account::is_contiguous(records, first, last, sum);
        }
        let of = |rows: &[(u16, u64, u64, u64)]| rows.iter().find(|row| row.0 == partition).copied();
        (_, account.events, account.rejections, account.erasures) = of(&self.tables).unwrap_or_default();
        let Verdicts { accepted, rejected, .. } = account.verdicts;
        let (_, kept_from, accepted, rejected) = of(&self.due).unwrap_or((partition, 0, accepted, rejected));
        account.kept_from = kept_from;
        for (what, rows, verdicts) in [
            ("events", account.events, accepted),
            ("rejections", account.rejections, rejected),
            ("erasures", account.erasures, account.verdicts.erasure),
        ] {
            if rows != verdicts {
                account.problems.push(format!("{rows} rows in {what} for {verdicts} verdicts"));
            }
        }
        account.problems.extend(self.breaks.iter().filter(|row| row.0 == partition).map(|row| row.1.clone()));
        if let Some((start, end)) = bounds {
            if account.ledger_end > end {
                let known = account.ledger_end;
                account.problems.push(format!("the ledger goes to offset {known}, the log only to {end}"));
            }
            (account.log_start, account.log_end) = (Some(start), Some(end));
            account.lag = Some(end.saturating_sub(account.ledger_end.max(start)));
            if records > 0 && account.ledger_start > start {
                let begins = account.ledger_start;
                account.problems.push(format!("the ledger begins at {begins}, the log at {start}"));
            }
        }
        account.adds_up = is_whole && account.problems.is_empty();
        (account, is_whole)
    }
}
