//! Does it all add up: the log, the ledger and the tables against each other.

use std::collections::BTreeMap;

use axum::response::Response;
use clickhouse::Row;
use infra::database::within;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{AsOf, Ask, Basis};
use crate::database::Database;
use crate::error::Error;
use crate::events::NoParams;
use crate::params::Params;
use crate::values::Time;

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
    /// Verdicts too many.
    pub overlaps: u64,
    pub verdicts: Verdicts,
    /// First offset of which events and rejections are kept; 0 without retention.
    pub kept_from: u64,
    /// Rows of `events`: as many as were accepted, from `kept_from` on.
    pub events: u64,
    /// Rows of `rejections`: as many as were rejected, from `kept_from` on.
    pub rejections: u64,
    /// Rows of `erasures`: as many as ask to erase a session.
    pub erasures: u64,
    pub adds_up: bool,
    /// What does not, in words.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verdicts {
    pub accepted: u64,
    pub rejected: u64,
    pub duplicate: u64,
    /// Offsets that the log itself leaves out, such as transaction markers.
    pub absent: u64,
    /// Records of sessions that are erased.
    pub erased: u64,
    /// Requests to erase a session.
    pub erasure: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Audit {
    pub adds_up: bool,
    /// Whether the brokers answered, so that the ends of the log were compared, too.
    pub log_compared: bool,
    pub verdicts: Verdicts,
    pub partitions: Vec<PartitionAudit>,
}

#[derive(Row, Deserialize)]
struct VerdictCount {
    partition: u16,
    verdict: String,
    records: u64,
    first: u64,
    last: u64,
    sum: u64,
}

/// Every offset of the log has exactly one verdict, and every verdict its row: yes or no, and where not.
/// `projector audit --heal` puts right what this finds.
#[utoipa::path(get, path = "/v1/audit", tag = "Operations", responses((status = 200, body = Audit)))]
pub async fn audit(ask: Ask, Params(_): Params<NoParams>) -> Result<Response, Error> {
    let log = ask.app.log.clone();
    let patience = ask.app.config.limits.patience();
    // The log's end is not in the ETag: an unchanged ledger may have fallen behind.
    ask.always(Basis::Log, async |database, _| {
        // The log first: what is appended meanwhile counts as lag, not as a surplus of the ledger.
        let bounds = log.bounds().await;
        let counts: Vec<VerdictCount> =
            within(patience, database.query(include_str!("verdicts.sql")).fetch_all()).await?;
        let rows: Vec<(u16, u64, u64, u64)> =
            within(patience, database.query(include_str!("tables.sql")).fetch_all()).await?;
        let due: Vec<(u16, u64, u64, u64)> =
            within(patience, database.query(include_str!("due.sql")).fetch_all()).await?;
        let mut partitions: BTreeMap<u16, PartitionAudit> = BTreeMap::new();
        for partition in bounds
            .keys()
            .chain(counts.iter().map(|count| &count.partition))
            .chain(rows.iter().map(|row| &row.0))
        {
            partitions
                .entry(*partition)
                .or_insert_with(|| PartitionAudit { partition: *partition, ..Default::default() });
        }
        for (partition, audit) in &mut partitions {
            let counts: Vec<&VerdictCount> =
                counts.iter().filter(|count| count.partition == *partition).collect();
            let (_, events, rejections, erasures) =
                rows.iter().find(|row| row.0 == *partition).copied().unwrap_or_default();
            (audit.events, audit.rejections, audit.erasures) = (events, rejections, erasures);
            let due = due.iter().find(|row| row.0 == *partition).copied();
            let bounds = bounds.get(partition).copied();
            within(patience, account(database, audit, &counts, due, bounds)).await?;
        }
        let mut verdicts = Verdicts::default();
        for partition in partitions.values() {
            verdicts.accepted += partition.verdicts.accepted;
            verdicts.rejected += partition.verdicts.rejected;
            verdicts.duplicate += partition.verdicts.duplicate;
            verdicts.absent += partition.verdicts.absent;
            verdicts.erased += partition.verdicts.erased;
            verdicts.erasure += partition.verdicts.erasure;
        }
        let partitions: Vec<PartitionAudit> = partitions.into_values().collect();
        let adds_up = partitions.iter().all(|partition| partition.adds_up);
        Ok(Audit { adds_up, log_compared: !bounds.is_empty(), verdicts, partitions })
    })
    .await
}

async fn account(
    database: &Database,
    audit: &mut PartitionAudit,
    counts: &[&VerdictCount],
    due: Option<(u16, u64, u64, u64)>,
    bounds: Option<(u64, u64)>,
) -> Result<(), Error> {
    for count in counts {
        match count.verdict.as_str() {
            "accepted" => audit.verdicts.accepted = count.records,
            "rejected" => audit.verdicts.rejected = count.records,
            "duplicate" => audit.verdicts.duplicate = count.records,
            "erased" => audit.verdicts.erased = count.records,
            "erasure" => audit.verdicts.erasure = count.records,
            _ => audit.verdicts.absent = count.records,
        }
    }
    let records: u64 = counts.iter().map(|count| count.records).sum();
    let first = counts.iter().map(|count| count.first).min();
    let last = counts.iter().map(|count| count.last).max();
    let mut problems = Vec::new();
    if let (Some(first), Some(last)) = (first, last) {
        (audit.ledger_start, audit.ledger_end) = (first, last + 1);
        let sum = counts.iter().fold(0u64, |sum, count| sum.wrapping_add(count.sum));
        let offsets = u128::from(last - first) + 1;
        let expected = (u128::from(first) + u128::from(last)) * offsets / 2;
        // As many as there are offsets, adding up to what offsets add up to: no gap, no overlap.
        if u128::from(records) != offsets || sum != expected as u64 {
            audit.gaps = database
                .query(include_str!("gaps.sql"))
                .param("partition", audit.partition)
                .fetch_all()
                .await?;
            let distinct: u64 = database
                .query("SELECT uniqExact(offset) FROM ledger WHERE partition = {partition:UInt16}")
                .param("partition", audit.partition)
                .fetch_one()
                .await?;
            audit.overlaps = records - distinct;
            problems.push(format!("{} gaps and {} overlaps in the ledger", audit.gaps.len(), audit.overlaps));
        }
    }
    let (_, kept_from, accepted, rejected) =
        due.unwrap_or((audit.partition, 0, audit.verdicts.accepted, audit.verdicts.rejected));
    audit.kept_from = kept_from;
    for (what, rows, verdicts) in [
        ("events", audit.events, accepted),
        ("rejections", audit.rejections, rejected),
        ("erasures", audit.erasures, audit.verdicts.erasure),
    ] {
        if rows != verdicts {
            problems.push(format!("{rows} rows in {what} for {verdicts} verdicts"));
        }
    }
    if let Some((start, end)) = bounds {
        (audit.log_start, audit.log_end) = (Some(start), Some(end));
        audit.lag = Some(end.saturating_sub(audit.ledger_end.max(start)));
        if records > 0 && audit.ledger_start > start {
            problems.push(format!("the ledger begins at {}, the log at {start}", audit.ledger_start));
        }
    }
    audit.adds_up = problems.is_empty();
    audit.problems = problems;
    Ok(())
}

/// How a partition keeps up.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PartitionHealth {
    pub partition: u16,
    /// First offset of the log; null if no broker answered.
    pub log_start: Option<u64>,
    /// Next offset of the log; null if no broker answered.
    pub log_end: Option<u64>,
    /// Next offset that the tables wait for.
    pub position: u64,
    /// Next offset that the sequences wait for.
    pub sequences_position: u64,
    /// Offsets that the tables lack.
    pub lag: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// The database that answers.
    pub generation: String,
    /// Whether the brokers answered.
    pub log_reachable: bool,
    /// Offsets of the log that the tables lack; null if no broker answered.
    pub lag: Option<u64>,
    /// Offsets that the sequences (order) lack and the tables have.
    pub sequences_lag: u64,
    /// Age of the newest included record, in seconds, while something is missing; 0 if nothing is.
    pub freshness_seconds: Option<f64>,
    /// How far the sequences are, as `as_of` says for the tables.
    pub sequences_as_of: AsOf,
    pub now: Time,
    pub partitions: Vec<PartitionHealth>,
}

/// Lag and freshness at a glance.
#[utoipa::path(get, path = "/v1/health", tag = "Operations", responses((status = 200, body = Health)))]
pub async fn health(ask: Ask, Params(_): Params<NoParams>) -> Result<Response, Error> {
    let log = ask.app.log.clone();
    ask.always(Basis::Log, async |database, as_of| {
        let bounds = log.bounds().await;
        let sequences = AsOf::read(database, &Basis::Sequences).await?;
        let position = |of: &AsOf, partition: &u16| of.positions.get(partition).copied().unwrap_or(0);
        let mut known: Vec<u16> = bounds.keys().chain(as_of.positions.keys()).copied().collect();
        known.sort_unstable();
        known.dedup();
        let partitions: Vec<PartitionHealth> = known
            .into_iter()
            .map(|partition| {
                let bounds = bounds.get(&partition).copied();
                let position_of_tables = position(as_of, &partition);
                PartitionHealth {
                    partition,
                    log_start: bounds.map(|(start, _)| start),
                    log_end: bounds.map(|(_, end)| end),
                    position: position_of_tables,
                    sequences_position: position(&sequences, &partition),
                    lag: bounds.map(|(start, end)| end.saturating_sub(position_of_tables.max(start))),
                }
            })
            .collect();
        let lag = (!bounds.is_empty()).then(|| partitions.iter().filter_map(|partition| partition.lag).sum());
        let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
        let age = as_of.time.map(|time| (now as i64 - time.micros()).max(0) as f64 / 1e6);
        Ok(Health {
            generation: database.name().to_owned(),
            log_reachable: !bounds.is_empty(),
            lag,
            sequences_lag: partitions.iter().map(|p| p.position.saturating_sub(p.sequences_position)).sum(),
            freshness_seconds: if lag == Some(0) { Some(0.0) } else { age },
            sequences_as_of: sequences,
            now: Time::from_micros(now as i64),
            partitions,
        })
    })
    .await
}
