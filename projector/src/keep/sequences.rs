//! Keeps `sequences` up to date: one row a session, computed as a whole from `events`.
//!
//! A pass computes the sessions that the log touched since the position in `sequences_positions`. No row is patched, so
//! a repeat, a late event, a crash half way or a second projector does no harm: the row with more events wins, and it
//! was computed from more.
//!
//! A question adds what no pass has seen ([`tables::derived`]), so passes need not come often. They come before the
//! stretch that questions add gets long. After a pass that took t, the task waits at least 3 t. A session of a million
//! events, or a table that is far behind, thus makes the lag grow and does not take the machine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clickhouse::Client;
use futures::future::try_join_all;
use tables::derived::{self, MOST_ADDED};

use crate::database::Database;
use crate::keep::{Positions, epochs};
use crate::metrics::Answers;
use crate::servers::Servers;
use crate::work::Work;

/// How long the task waits between two passes. A pass makes two inserts and reads some tables, however few the offsets.
const PAUSE: Duration = Duration::from_secs(5);
/// From this many offsets on, a pass does not wait for [`PAUSE`]: questions would add too many.
const MANY: u64 = 5_000;
/// How long the task waits between two looks at what there is to do. A look asks nobody.
const LOOK: Duration = Duration::from_millis(250);
/// How long the task waits between two checks that `sequences` hold what they claim.
const VERIFY: Duration = Duration::from_secs(3600);
/// How long the task waits after a pass that failed.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// The most offsets of a pass: the set of its sessions must fit into memory.
const PASS: u64 = 200_000;
/// Up to this many offsets, looking them up is always cheaper than reading everything.
const FEW: u64 = 10_000;
/// How often a writer looks for a number that another writer took first, whose insert is still under way.
const ATTEMPTS: u32 = 200;
/// The most memory of a pass on a server, in bytes.
const MEMORY: &str = "2000000000";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refreshed {
    /// Offsets that this pass included.
    pub offsets: u64,
    /// Offsets that are still missing.
    pub behind: u64,
}

/// Brings `sequences` up to what is inserted and verified of the owned partitions, until it is dropped.
pub(crate) async fn watch(work: Arc<Work>) {
    let servers = work.database.servers();
    let mut verified: Option<Instant> = None;
    loop {
        let confirmed = work.progress.confirmed();
        // The check needs the turn, too: a task that has it deletes events before the sequences of their sessions.
        let mine = work.turn.lock().await;
        // One projector is enough: the owner of partition 0.
        if confirmed.contains_key(&0) && verified.is_none_or(|at| at.elapsed() > VERIFY) {
            match verify(&servers).await {
                Ok(()) => verified = Some(Instant::now()),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "sequences were not verified"),
            }
        }
        let began = Instant::now();
        let pass = refresh(&servers, &confirmed).await;
        drop(mine);
        let took = began.elapsed();
        let (rest, behind) = match pass {
            Ok(Refreshed { offsets, behind }) => {
                tracing::debug!(offsets, behind, ?took, "sequences refreshed");
                if behind <= MOST_ADDED {
                    work.metrics.answers_are_fresh(Answers::Order);
                }
                (took * 3, behind)
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "sequences stay as they are for now");
                (AFTER_ERROR, 0)
            }
        };
        let included: u64 = confirmed.values().sum::<u64>() - behind;
        let ended = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            number_new(&work, &servers).await;
            let uncounted = work.progress.confirmed().values().sum::<u64>().saturating_sub(included);
            // The first event of all need not wait: until a pass has seen some, questions add none.
            let is_due = uncounted > if included == 0 { 0 } else { MANY };
            if ended.elapsed() > rest && (is_due || ended.elapsed() > PAUSE) {
                break;
            }
        }
    }
}

/// Gives numbers to the features that were used for the first time, so that a question can add such an event. A pass
/// would do it, too, but later.
async fn number_new(work: &Work, servers: &Servers) {
    let new = work.progress.take_new_features();
    if new.is_empty() {
        return;
    }
    if let Err(error) = number(servers, Some(new)).await {
        tracing::warn!(error = format!("{error:#}"), "new features have no numbers for now");
    }
}

/// One pass: includes the log up to `confirmed`, or a part of the way there.
///
/// # Errors
/// ClickHouse does not answer, or there are more than 65,535 features. The finished work stays right.
pub async fn refresh(servers: &Servers, confirmed: &Positions) -> anyhow::Result<Refreshed> {
    let made = servers.made().await?;
    let included = included(servers).await?;
    let behind: Vec<(u16, u64, u64)> = confirmed
        .iter()
        .map(|(partition, end)| (*partition, included.get(partition).copied().unwrap_or(0), *end))
        .filter(|(_, start, end)| start < end)
        .collect();
    let total: u64 = behind.iter().map(|(_, start, end)| end - start).sum();
    if total == 0 {
        return Ok(Refreshed::default());
    }
    // Far behind, one reading of all `events` in their order is cheaper than many of its parts.
    let known: u64 =
        servers.first().query_raw(&servers.sql("SELECT count() FROM {all}.ledger")).fetch_one().await?;
    let everything = total > FEW && total * 4 > known;
    let ranges = if everything { behind } else { share(behind, PASS) };
    recompute(servers, &ranges, everything).await?;
    ensure!(servers.made().await? == made, "tables were made again meanwhile");
    let ends = ranges.iter().map(|(partition, _, end)| (*partition, *end)).collect::<Vec<_>>();
    claim(servers, &ends).await?;
    let offsets = ranges.iter().map(|(_, start, end)| end - start).sum();
    Ok(Refreshed { offsets, behind: total - offsets })
}

/// Checks that `sequences` hold as many events as they claim, and no more than there are. If rows were lost (a power
/// cut, a dropped table) or their events are gone, `sequences` begin again from the first offset.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn verify(servers: &Servers) -> anyhow::Result<()> {
    let count = async |sql: &str| servers.first().query_raw(&servers.sql(sql)).fetch_one::<u64>().await;
    // In this order, so that events which arrive meanwhile do not look like a fault.
    let owed = count(include_str!("sequences/least_events.sql")).await?;
    let held = count("SELECT sum(events) FROM {all}.sequences FINAL").await?;
    let events = count("SELECT count() FROM {all}.events").await?;
    if (owed..=events).contains(&held) {
        return Ok(());
    }
    tracing::warn!(owed, held, events, "sequences do not hold what they claim: computing them again");
    servers.forget_sequences().await
}

/// Computes the sessions of a range below the position again, after healing. Their rows are deleted first: a healed
/// session may have fewer events than before, and the longer row would win. Withdraws the days of use.
///
/// # Errors
/// As [`refresh`].
pub async fn refresh_range(servers: &Servers, partition: u16, start: u64, end: u64) -> anyhow::Result<()> {
    refresh_ranges(servers, vec![(partition, start, end)]).await
}

/// The same for ranges (partition, start, end) of several partitions.
///
/// # Errors
/// As [`refresh`].
pub(crate) async fn refresh_ranges(
    servers: &Servers,
    mut ranges: Vec<(u16, u64, u64)>,
) -> anyhow::Result<()> {
    ranges.retain(|(_, start, end)| start < end);
    while !ranges.is_empty() {
        let some = share(ranges.clone(), PASS);
        let delete = format!(
            "DELETE FROM {} WHERE session_id IN (SELECT session_id FROM ledger WHERE {})",
            servers.mutable("sequences"),
            in_ranges(&some)
        );
        for server in servers.each() {
            server.query_raw(&delete).execute().await.context("sequences")?;
        }
        recompute(servers, &some, false).await?;
        ranges.iter_mut().zip(&some).for_each(|(range, (.., done))| range.1 = *done);
        ranges.retain(|(_, start, end)| start < end);
    }
    epochs::withdraw(servers).await
}

/// The SQL condition for the offsets of some ranges (partition, start, end).
pub(crate) fn in_ranges(ranges: &[(u16, u64, u64)]) -> String {
    let of = |(partition, start, end): &(u16, u64, u64)| {
        format!("partition = {partition} AND offset >= {start} AND offset < {end}")
    };
    ranges.iter().map(of).collect::<Vec<_>>().join(" OR ")
}

/// Takes the positions of some partitions back: what was included from there on is gone. Call it after
/// [`refresh_ranges`].
///
/// # Errors
/// ClickHouse does not answer.
pub(crate) async fn withdraw(database: &Database, positions: &[(u16, u64)]) -> anyhow::Result<()> {
    let beyond =
        |(partition, position): &(u16, u64)| format!("partition = {partition} AND position > {position}");
    let beyond: Vec<String> = positions.iter().map(beyond).collect();
    database.alter("sequences_positions", &format!("DELETE WHERE {}", beyond.join(" OR "))).await?;
    let claimed: Vec<(u16, u64)> = positions.iter().copied().filter(|(_, position)| *position > 0).collect();
    if claimed.is_empty() { Ok(()) } else { claim(&database.servers(), &claimed).await }
}

/// Writes down that `sequences` include these partitions up to these positions, which are not 0.
async fn claim(servers: &Servers, ends: &[(u16, u64)]) -> anyhow::Result<()> {
    servers
        .first()
        .query_raw(&servers.sql(
            "INSERT INTO sequences_positions (partition, position, log_time) \
             SELECT partition, offset + 1, log_time FROM {all}.ledger WHERE (partition, offset) IN \
             (SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {lasts:Array(UInt64)})))",
        ))
        .param("partitions", ends.iter().map(|(partition, _)| *partition).collect::<Vec<_>>())
        .param("lasts", ends.iter().map(|(_, end)| end - 1).collect::<Vec<_>>())
        .execute()
        .await
        .context("sequences_positions")
}

/// The position up to which `sequences` include each partition.
pub(crate) async fn included(servers: &Servers) -> anyhow::Result<Positions> {
    let rows: Vec<(u16, u64)> = servers
        .first()
        .query_raw("SELECT partition, max(position) FROM sequences_positions GROUP BY partition")
        .fetch_all()
        .await
        .context("sequences_positions")?;
    Ok(rows.into_iter().collect())
}

/// Cuts the ranges to `room` offsets in all; each partition gets a share by its length.
fn share(mut ranges: Vec<(u16, u64, u64)>, room: u64) -> Vec<(u16, u64, u64)> {
    let total: u64 = ranges.iter().map(|(_, start, end)| end - start).sum();
    if total > room {
        for (_, start, end) in &mut ranges {
            let part = (u128::from(*end - *start) * u128::from(room) / u128::from(total)) as u64;
            *end = *start + part.max(1);
        }
    }
    ranges
}

async fn recompute(servers: &Servers, ranges: &[(u16, u64, u64)], everything: bool) -> anyhow::Result<()> {
    let column = |pick: fn(&(u16, u64, u64)) -> u64| ranges.iter().map(pick).collect::<Vec<_>>();
    let sql = include_str!("sequences/pass.sql").replace("{sequences}", &derived::sequences(&servers.all()));
    let on_each = async || {
        let statement = |server: &Client| {
            server
                .query_raw(&sql)
                .param("everything", everything)
                .param("threads", if everything { 2 } else { 1 })
                .param("partitions", ranges.iter().map(|(partition, ..)| *partition).collect::<Vec<_>>())
                .param("starts", column(|(_, start, _)| *start))
                .param("ends", column(|(.., end)| *end))
                .with_setting("max_memory_usage", MEMORY)
                // A row for the same sessions is not a repeat: it may hold more events.
                .with_setting("insert_deduplicate", "0")
                .execute()
        };
        try_join_all(servers.each().iter().map(statement)).await
    };
    let Err(error) = on_each().await else { return Ok(()) };
    if !error.to_string().contains(derived::NO_NUMBER) {
        return Err(error).context("sequences");
    }
    number(servers, None).await?;
    on_each().await.context("sequences")?;
    Ok(())
}

/// Gives a number to each of the `used` features that has none; if none are given, to each feature of `events`.
///
/// A block of numbers that begins with n has a deduplication token that names n, and its writer has seen all numbers
/// below n. Of several writers one wins; the others see its rows and continue. See `features`.
async fn number(servers: &Servers, used: Option<BTreeSet<(String, String)>>) -> anyhow::Result<()> {
    let unknown_of_all = servers.sql(include_str!("sequences/unknown_features.sql"));
    let client = servers.first();
    let (mut last, mut seen) = (0, 0);
    while seen < ATTEMPTS {
        let numbered: u64 = client.query_raw("SELECT count() FROM features").fetch_one().await?;
        seen = if numbered == last { seen + 1 } else { 0 };
        last = numbered;
        let unknown: Vec<(String, String)> = match &used {
            None => client.query_raw(&unknown_of_all).fetch_all().await?,
            Some(used) => {
                let known = client.query_raw("SELECT category, name FROM features").fetch_all().await?;
                used.difference(&known.into_iter().collect()).cloned().collect()
            }
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let most = numbered + unknown.len() as u64;
        ensure!(
            most <= u64::from(u16::MAX),
            "more than {} features: `sequences` can't number them",
            u16::MAX
        );
        let (categories, names): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
        client
            .query_raw(include_str!("sequences/number_features.sql"))
            .param("numbered", numbered)
            .param("categories", categories)
            .param("names", names)
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", format!("feature {}", numbered + 1))
            .execute()
            .await
            .context("features")?;
    }
    bail!("feature numbers were taken and are missing: is the deduplication window of `features` intact?")
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_pass_is_shared_by_need() {
        assert_eq!(share(vec![(0, 5, 15), (1, 0, 30)], 100), [(0, 5, 15), (1, 0, 30)]);
        assert_eq!(share(vec![(0, 0, 100), (1, 0, 300)], 100), [(0, 0, 25), (1, 0, 75)]);
        // Every partition gets some offset.
        assert_eq!(share(vec![(0, 0, 1), (1, 0, 1_000_000)], 10)[0], (0, 0, 1));
    }
}
