//! Builds the projections of parts that have none. Inserts leave projections to the first merge
//! (`tables/ddl/ledger.sql`), and some parts are never merged.
//!
//! Merges join neighbours that have the same projections. A part without projections between parts that have them is
//! never merged, and keeps its neighbours apart: the number of parts would grow without end. (ClickHouse 26.7 does
//! this. If a later version merges such neighbours, `tests/it/parts.rs` fails, and this file can go.)

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use infra::database::{ClickHouseConfig, within};
use tables::cluster;

use crate::database::{ANSWER, Database};
use crate::error::Result;
use crate::work::Work;

/// How long the task waits between two looks. A part that is seen twice was not merged in that time; merges that are
/// under way finish within seconds.
const EVERY: Duration = Duration::from_secs(300);
/// The projections that inserts do not build.
const PROJECTIONS: [(&str, &str); 2] = [
    ("ledger", "MATERIALIZE PROJECTION positions, MATERIALIZE PROJECTION by_event"),
    ("events", "MATERIALIZE PROJECTION by_log, MATERIALIZE PROJECTION listed"),
];

pub(crate) async fn watch(work: Arc<Work>) {
    let mut bare = PROJECTIONS.map(|_| BTreeSet::new());
    loop {
        tokio::time::sleep(EVERY).await;
        // One projector is enough: the owner of partition 0. While nobody owns it, parts wait.
        if !work.progress.confirmed().contains_key(&0) {
            continue;
        }
        for ((table, mutation), before) in PROJECTIONS.iter().zip(&mut bare) {
            if let Err(error) = build_old(&work.database, table, mutation, before).await {
                tracing::warn!(table, %error, "projections were not built; the next look tries again");
            }
        }
    }
}

/// Builds the projections if a part had none `before`, too. Its age does not tell: an erasure makes every part new.
async fn build_old(
    database: &Database,
    table: &str,
    mutation: &str,
    before: &mut BTreeSet<(usize, String)>,
) -> Result<()> {
    let bare = bare_parts(database, table).await?;
    // An unfinished mutation is ours, whose answer was lost, or an erasure, which must not wait for this.
    if !bare.is_disjoint(before) && database.mutations().await? == 0 {
        database.alter(table, mutation).await?;
    }
    *before = bare;
    Ok(())
}

/// The parts of a table without projections: the server's index, and the piece of the name that no mutation changes.
async fn bare_parts(database: &Database, table: &str) -> Result<BTreeSet<(usize, String)>> {
    let sql = format!(
        "SELECT concat(partition_id, '_', min_block_number, '_', max_block_number) FROM {} \
         WHERE active AND database = {{database:String}} AND table = {{table:String}} \
         AND rows > 0 AND empty(projections)",
        database.config.of_all_servers("parts")
    );
    let holder = cluster::holder(&database.config, &database.name, table);
    let mut bare = BTreeSet::new();
    for (number, server) in database.each.iter().enumerate() {
        let query = server.query(&sql).param("database", &holder).param("table", table);
        // A server that does not answer is asked in the next look.
        let parts = query.with_setting("skip_unavailable_shards", "1").fetch_all::<String>();
        bare.extend(within(ANSWER, parts).await?.into_iter().map(|part| (number, part)));
    }
    Ok(bare)
}

/// Builds the projections of all parts that have none, and returns the number of those parts. A part that has them is
/// not rewritten: its files get hard links.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn build(clickhouse: &ClickHouseConfig, generation: u32) -> Result<usize> {
    // Without a topic: only inserts need its name.
    let database = &Database::new(clickhouse, generation, "");
    let mut built = 0;
    for (table, mutation) in PROJECTIONS {
        let bare = bare_parts(database, table).await?;
        if !bare.is_empty() {
            database.alter(table, mutation).await?;
        }
        built += bare.len();
    }
    Ok(built)
}

#[cfg(test)]
mod tests;
