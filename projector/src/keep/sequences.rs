//! Keeps `sequences` up to date: one row a session, recomputed as a whole from `events`.
//!
//! What is recomputed are the sessions that the log touched since the position kept in
//! `sequences_positions`. Nothing is ever patched, so a repeat, a late event, a crash half way or a second
//! projector at the same work can do no harm: the row with more events wins, and it has seen more.
//!
//! The work is paced by its own cost: after a pass that took t, a pause of at least three t. A session of a
//! million events, or a table far behind, so makes the lag grow, and never takes the machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clickhouse::{Client, Row};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::keep::{Positions, epochs};
use crate::servers::Servers;
use crate::work::Work;

/// Between two looks. A pass makes two inserts and reads some tables, however few the offsets.
const PAUSE: Duration = Duration::from_secs(2);
/// Between two looks whether `sequences` holds what it claims.
const VERIFY: Duration = Duration::from_secs(3600);
/// After a pass that failed.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// Offsets of a pass: its sessions must fit into a set in memory.
const PASS: u64 = 200_000;
/// Offsets that are always looked up one by one: fewer than reading everything could pay for.
const FEW: u64 = 10_000;
/// Looks for a number that another writer was faster with: its insert is under way.
const ATTEMPTS: u32 = 200;
/// What a pass may use.
const MEMORY: &str = "2000000000";

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refreshed {
    /// Offsets that are included now and were not before.
    pub offsets: u64,
    /// Offsets that are still to come.
    pub behind: u64,
}

/// Brings `sequences` up to what is confirmed of the partitions that this process was given, again and again, until it is
/// dropped.
pub(crate) async fn watch(work: Arc<Work>) {
    let servers = work.database.servers();
    let mut verified: Option<Instant> = None;
    loop {
        let confirmed = work.progress.confirmed();
        // Also to verify: in its turn another deletes events before the sequences of their sessions.
        let mine = work.turn.lock().await;
        // One of several projectors is enough, and partition 0 is one projector's.
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
        if matches!(pass, Ok(Refreshed { behind: 0, .. })) {
            work.metrics.sequences_are_complete();
        }
        let pause = match pass {
            Ok(Refreshed { offsets: 0, .. }) => PAUSE,
            Ok(Refreshed { offsets, behind }) => {
                tracing::debug!(offsets, behind, ?took, "sequences refreshed");
                PAUSE.max(took * 3)
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "sequences stay as they are for now");
                AFTER_ERROR
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// One pass: includes the log up to `confirmed`, or a good part of the way there.
///
/// # Errors
/// ClickHouse does not answer, or more than 65,535 features. What was done stays right.
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
    // Far behind, it is cheaper to read all of `events` once, in its order, than many parts of it.
    let known: u64 =
        servers.first().query_raw(&servers.sql("SELECT count() FROM {all}.ledger")).fetch_one().await?;
    let everything = total > FEW && total * 4 > known;
    let ranges = if everything { behind } else { share(behind, PASS) };
    recompute(servers, &ranges, everything).await?;
    ensure!(servers.made().await? == made, "tables were made anew meanwhile");
    servers
        .first()
        .query_raw(&servers.sql(
            "INSERT INTO sequences_positions (partition, position, log_time) \
             SELECT partition, offset + 1, log_time FROM {all}.ledger WHERE (partition, offset) IN \
             (SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {lasts:Array(UInt64)})))",
        ))
        .param("partitions", ranges.iter().map(|(partition, ..)| *partition).collect::<Vec<_>>())
        .param("lasts", ranges.iter().map(|(.., end)| end - 1).collect::<Vec<_>>())
        .execute()
        .await
        .context("sequences_positions")?;
    let offsets = ranges.iter().map(|(_, start, end)| end - start).sum();
    Ok(Refreshed { offsets, behind: total - offsets })
}

/// Looks whether `sequences` holds as many events as it claims, and no more than there are. Rows that were
/// lost (a power cut, a dropped table) or whose events are gone make it begin anew, from the first offset.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn verify(servers: &Servers) -> anyhow::Result<()> {
    let count = async |sql: &str| servers.first().query_raw(&servers.sql(sql)).fetch_one::<u64>().await;
    // In this order: what arrives meanwhile makes no difference look like a fault.
    let owed = count(include_str!("sequences/owed.sql")).await?;
    let held = count("SELECT sum(events) FROM {all}.sequences FINAL").await?;
    let events = count("SELECT count() FROM {all}.events").await?;
    if (owed..=events).contains(&held) {
        return Ok(());
    }
    tracing::warn!(owed, held, events, "sequences do not hold what they claim: building them anew");
    servers.forget_sequences().await
}

/// Recomputes the sessions of a range that was healed below the position. Their rows go first: a healed
/// session may have fewer events than before, and the longer row would win. The days of use are withdrawn.
///
/// # Errors
/// As [`refresh`].
pub async fn refresh_range(servers: &Servers, partition: u16, start: u64, end: u64) -> anyhow::Result<()> {
    let delete = format!(
        "DELETE FROM {} WHERE session_id IN (SELECT session_id FROM ledger \
         WHERE partition = {{partition:UInt16}} AND offset >= {{start:UInt64}} AND offset < {{end:UInt64}})",
        servers.mutable("sequences")
    );
    let mut start = start;
    while start < end {
        let next = end.min(start + PASS);
        for server in servers.each() {
            let delete = server.query_raw(&delete).param("partition", partition);
            delete.param("start", start).param("end", next).execute().await.context("sequences")?;
        }
        recompute(servers, &[(partition, start, next)], false).await?;
        start = next;
    }
    epochs::withdraw(servers).await
}

/// A statement about the sessions that a stretch of the log touches, which is what `{touched}` stands for.
pub(crate) fn with_touched(sql: &str) -> String {
    sql.replace("{touched}", include_str!("sequences/touched.sql"))
}

/// The position up to which `sequences` includes each partition.
pub(crate) async fn included(servers: &Servers) -> anyhow::Result<Positions> {
    let rows: Vec<(u16, u64)> = servers
        .first()
        .query_raw("SELECT partition, max(position) FROM sequences_positions GROUP BY partition")
        .fetch_all()
        .await
        .context("sequences_positions")?;
    Ok(rows.into_iter().collect())
}

/// Cuts the ranges so that they have `room` offsets in all, each partition its part.
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

/// Each server its own sessions.
async fn recompute(servers: &Servers, ranges: &[(u16, u64, u64)], everything: bool) -> anyhow::Result<()> {
    let column = |pick: fn(&(u16, u64, u64)) -> u64| ranges.iter().map(pick).collect::<Vec<_>>();
    let sql = servers.sql(&with_touched(include_str!("sequences/recompute.sql")));
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
                // A new row for the same content is not a repeat: it may carry more events.
                .with_setting("insert_deduplicate", "0")
                .execute()
        };
        try_join_all(servers.each().iter().map(statement)).await
    };
    let Err(error) = on_each().await else { return Ok(()) };
    if !error.to_string().contains("a feature without a number") {
        return Err(error).context("sequences");
    }
    number_features(servers).await?;
    on_each().await.context("sequences")?;
    Ok(())
}

/// Gives a number to every feature that has none.
///
/// A block of numbers that begins with n is inserted with a deduplication token that names n, by a writer
/// that has seen all numbers below n: of several writers one wins, the others see its rows and go on. See
/// `features`.
async fn number_features(servers: &Servers) -> anyhow::Result<()> {
    #[derive(Debug, Row, Serialize, Deserialize)]
    struct Feature {
        category: String,
        name: String,
    }
    let client = servers.first();
    let unknown = servers.sql(include_str!("sequences/unknown_features.sql"));
    let (mut last, mut seen) = (0, 0);
    while seen < ATTEMPTS {
        let numbered: u64 = client.query_raw("SELECT count() FROM features").fetch_one().await?;
        seen = if numbered == last { seen + 1 } else { 0 };
        last = numbered;
        let unknown: Vec<Feature> = client.query_raw(&unknown).fetch_all().await?;
        if unknown.is_empty() {
            return Ok(());
        }
        let most = numbered + unknown.len() as u64;
        ensure!(
            most <= u64::from(u16::MAX),
            "more than {} features: `sequences` can't number them",
            u16::MAX
        );
        let (categories, names): (Vec<_>, Vec<_>) =
            unknown.into_iter().map(|feature| (feature.category, feature.name)).unzip();
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
    bail!("a feature's number was announced and is not there: is the window of `features` intact?")
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_pass_is_shared_by_need() {
        assert_eq!(share(vec![(0, 5, 15), (1, 0, 30)], 100), [(0, 5, 15), (1, 0, 30)]);
        assert_eq!(share(vec![(0, 0, 100), (1, 0, 300)], 100), [(0, 0, 25), (1, 0, 75)]);
        // Nobody is left out for ever.
        assert_eq!(share(vec![(0, 0, 1), (1, 0, 1_000_000)], 10)[0], (0, 0, 1));
    }
}
