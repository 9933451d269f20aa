//! Erases the rows that the tables already hold of erased sessions.
//!
//! Records that are judged after their erasure is known need no erasing: [`crate::judge::erasures`] is asked first. So
//! this task runs when an erasure becomes known, and when partitions are taken over, because their last owner may have
//! died half way. No statement names a session: the ledger says which places in the log are meant. The ledger is
//! changed last, so that it names the places until all other tables are done. Erasing twice does no harm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::Deserialize;
use tables::{OtherVersion, Verdict};

use crate::database::{ANSWER, Database, MUTATION};
use crate::error::{Error, Result};
use crate::judge::erasures::{Erasures, Hash};
use crate::judge::row::NO_EVENT;
use crate::keep::epochs;
use crate::work::Work;

/// How long the task waits between two sweeps. After a sweep that erased, it waits at least three times as long as that
/// sweep took: a mutation touches every part, however few its rows.
const LOOK: Duration = Duration::from_secs(1);
/// How long it waits between two looks for unfinished mutations.
const AT_WORK: Duration = Duration::from_millis(200);
/// How long it waits for unfinished mutations. Then the sweep begins again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it waits between two looks whether all judged rows are inserted.
const INSERTED: Duration = Duration::from_millis(50);

pub(crate) async fn watch(work: Arc<Work>) {
    loop {
        let took = sweep(&work).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "erasing; trying again");
            LOOK
        });
        tokio::time::sleep(LOOK.max(took * 3)).await;
    }
}

/// Adds the erased sessions that other projectors found.
pub(crate) async fn refresh(erasures: &Erasures, database: &Database) -> Result<()> {
    #[derive(Row, Deserialize)]
    struct Erasure {
        session: Hash,
    }
    let sql = "SELECT DISTINCT session FROM {database}.erasures";
    let found: Vec<Erasure> = database.fetch_all(sql, ANSWER).await?;
    erasures.extend(found.into_iter().map(|erasure| erasure.session));
    Ok(())
}

/// Returns how long the erasing took.
async fn sweep(work: &Work) -> Result<Duration> {
    refresh(&work.erasures, &work.database).await?;
    let known = work.erasures.len();
    let assignment = work.progress.assignment();
    // A projector without partitions has no rows under way: the others erase.
    let pending = if work.progress.owned().is_empty() { 0 } else { known - work.progress.erased() };
    work.metrics.erasures_pending.set(pending as i64);
    let mut took = Duration::ZERO;
    if pending > 0 {
        inserted(work).await;
        let began = Instant::now();
        let rows = apply(&work.database, &work.database.name).await?;
        others_at_work(&work.database).await?;
        {
            // A sequence that is being computed may belong to one of these sessions: it must be written first.
            let _turn = work.turn.lock().await;
            forget(&work.database, &work.database.name).await?;
        }
        if rows > 0 {
            tracing::info!(sessions = pending, rows, "erased");
        }
        others(work).await?;
        took = began.elapsed();
    }
    work.progress.set_erased(known, assignment);
    Ok(took)
}

/// Waits until all rows that may have been judged without the known erasures are in the tables.
async fn inserted(work: &Work) {
    let since = Instant::now();
    let judged = loop {
        match work.progress.judged(since) {
            Some(judged) => break judged,
            None => tokio::time::sleep(INSERTED).await,
        }
    };
    let under_way = |judged: &BTreeMap<i32, u64>| {
        let owned = work.progress.owned();
        judged.iter().any(|(partition, to)| {
            owned.contains(partition)
                && work.progress.inserted_to(*partition).is_none_or(|inserted| inserted < *to)
        })
    };
    while under_way(&judged) {
        tokio::time::sleep(INSERTED).await;
    }
}

/// Erases from the generations that are kept and that no projector writes.
async fn others(work: &Work) -> Result<()> {
    let clickhouse = &work.config.clickhouse;
    let unclear = |error: anyhow::Error| Error::Contradiction(format!("the other generations: {error:#}"));
    let serving = tables::serving(clickhouse).await.map_err(unclear)?;
    for generation in tables::list(clickhouse).await.map_err(unclear)? {
        let database = Database::new(clickhouse, generation, &work.database.topic);
        if database.name == work.database.name || Some(generation) == serving {
            continue;
        }
        let erased = async {
            tables::check_version(clickhouse, generation).await?;
            apply(&database, &work.database.name).await?;
            forget(&database, &work.database.name).await?;
            anyhow::Ok(())
        };
        match erased.await {
            Err(error) if error.is::<OtherVersion>() => {
                let error = format!("{error:#}");
                tracing::warn!(
                    generation,
                    error,
                    "an old generation may still hold an erased session: drop it by `projector generations --drop`"
                );
            }
            // The error may pass: the sweep begins again.
            Err(error) => return Err(unclear(error)),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Erases from the row tables what the erasures of the database `erasures` name. Returns how many places it erased.
pub(crate) async fn apply(database: &Database, erasures: &str) -> Result<usize> {
    let pending = include_str!("erase/pending.sql").replace("{erasures}", erasures);
    let mut erased = 0;
    loop {
        others_at_work(database).await?;
        let places: Vec<(u16, u64, i8)> = database.fetch_all(&pending, MUTATION).await?;
        if places.is_empty() {
            return Ok(erased);
        }
        for (verdict, table) in [(Verdict::Accepted, "events"), (Verdict::Rejected, "rejections")] {
            if let Some(condition) = at(&places, |of| of == verdict as i8) {
                database.alter(table, &format!("DELETE WHERE {condition}")).await?;
            }
        }
        // The days of use still count the erased rows.
        epochs::withdraw(&database.servers())
            .await
            .map_err(|error| Error::Contradiction(format!("{error:#}")))?;
        if let Some(condition) = at(&places, |_| true) {
            // The same row as `Row::erased` makes.
            let erase = format!(
                "UPDATE first_offset = multiIf(verdict = 'duplicate', first_offset, verdict = 'rejected', {NO_EVENT}, \
                 offset), verdict = 'erased', \
                 session_id = toUUID('00000000-0000-0000-0000-000000000000'), timestamp = 0, schema_version = 0 \
                 WHERE verdict IN ('accepted', 'rejected', 'duplicate') AND ({condition})"
            );
            database.alter("ledger", &erase).await?;
        }
        erased += places.len();
    }
}

/// Waits until no mutation is unfinished. Another projector may run the same one, and one of ours whose answer was lost
/// goes on in ClickHouse: repeating them would only pile them up.
async fn others_at_work(database: &Database) -> Result<()> {
    let began = Instant::now();
    while database.mutations().await? > 0 {
        if began.elapsed() > PATIENCE {
            return Err(Error::Running);
        }
        tokio::time::sleep(AT_WORK).await;
    }
    Ok(())
}

/// Erases from `sequences`. Call it once the events are gone: otherwise the sequences would be computed again.
pub(crate) async fn forget(database: &Database, erasures: &str) -> Result<()> {
    loop {
        let sessions = sequences(database, erasures).await?;
        if sessions.is_empty() {
            return Ok(());
        }
        // The hashes are hexadecimal digits, so they need no escaping.
        let list = sessions.join("', '");
        let delete = format!("DELETE WHERE hex(SHA256(toString(session_id))) IN ('{list}')");
        database.alter("sequences", &delete).await?;
    }
}

/// The hashes of erased sessions that still have a sequence, at most 1,000.
pub(crate) async fn sequences(database: &Database, erasures: &str) -> Result<Vec<String>> {
    let sql = include_str!("erase/sequences.sql").replace("{erasures}", erasures);
    database.fetch_all(&sql, MUTATION).await
}

/// The SQL condition for the places whose verdict is wanted; `None` if there are none.
fn at(places: &[(u16, u64, i8)], wanted: impl Fn(i8) -> bool) -> Option<String> {
    let mut offsets: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (partition, offset, _) in places.iter().filter(|(.., verdict)| wanted(*verdict)) {
        offsets.entry(*partition).or_default().push(offset.to_string());
    }
    let condition = |(partition, offsets): (&u16, &Vec<String>)| {
        format!("partition = {partition} AND offset IN ({})", offsets.join(", "))
    };
    let conditions: Vec<String> = offsets.iter().map(condition).collect();
    (!conditions.is_empty()).then(|| conditions.join(" OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_by_partition() {
        let places = [(0, 7, 1), (0, 9, 2), (3, 1, 1)];
        assert_eq!(
            at(&places, |verdict| verdict == 1).as_deref(),
            Some("partition = 0 AND offset IN (7) OR partition = 3 AND offset IN (1)")
        );
        assert_eq!(at(&places, |verdict| verdict == 3), None);
    }
}
