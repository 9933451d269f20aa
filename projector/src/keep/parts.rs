//! Builds the projections of parts that have none: inserts leave them to the first merge
//! (`tables/ddl/ledger.sql`), and some parts are never merged by themselves.
//!
//! Merges join neighbours that have the same projections. A part without any whose neighbours have them waits for ever,
//! and its neighbours can't be merged over it: without this the parts would become ever more. (So it is in ClickHouse
//! 26.7. With a version that merges such neighbours, `tests/it/parts.rs` says so, and this can go.)

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use infra::database::{ClickHouseConfig, within};
use tables::cluster;

use crate::database::{ANSWER, Database};
use crate::error::Result;
use crate::work::Work;

/// Merges had so long for a part that is seen twice: on their way, it has its projections within seconds.
const EVERY: Duration = Duration::from_secs(300);
/// What an insert leaves out.
const PROJECTIONS: [(&str, &str); 2] = [
    ("ledger", "MATERIALIZE PROJECTION positions, MATERIALIZE PROJECTION by_event"),
    ("events", "MATERIALIZE PROJECTION by_log, MATERIALIZE PROJECTION listed"),
];

/// Looks for such parts again and again, until it is dropped.
pub(crate) async fn watch(work: Arc<Work>) {
    let mut bare = PROJECTIONS.map(|_| BTreeSet::new());
    loop {
        tokio::time::sleep(EVERY).await;
        // Of several projectors one is enough, and partition 0 is one projector's. While nobody has it, parts wait.
        if !work.progress.confirmed().contains_key(&0) {
            continue;
        }
        for ((table, mutation), before) in PROJECTIONS.iter().zip(&mut bare) {
            if let Err(error) = build_old(&work.database, table, mutation, before).await {
                tracing::warn!(table, %error, "some parts stay without projections for now");
            }
        }
    }
}

/// Builds the projections if some part was bare `before`, too. Its age doesn't tell: an erasure makes every part new.
async fn build_old(
    database: &Database,
    table: &str,
    mutation: &str,
    before: &mut BTreeSet<(usize, String)>,
) -> Result<()> {
    let bare = bare_parts(database, table).await?;
    // A mutation that is at work is ours, whose answer was lost, or an erasure, which must not wait for this.
    if !bare.is_disjoint(before) && database.mutations().await? == 0 {
        database.alter(table, mutation).await?;
    }
    *before = bare;
    Ok(())
}

/// The parts of a table that have no projections: the number of the server, and what no mutation changes of the name.
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
        // A server that does not answer is looked at another time.
        let parts = query.with_setting("skip_unavailable_shards", "1").fetch_all::<String>();
        bare.extend(within(ANSWER, parts).await?.into_iter().map(|part| (number, part)));
    }
    Ok(bare)
}

/// Builds the projections of all parts that have none, and says how many parts those were. Large parts that have them
/// are not rewritten: their files get a second name.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn build(clickhouse: &ClickHouseConfig, generation: u32) -> Result<usize> {
    // Of no topic: its name is in those of inserts only.
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
