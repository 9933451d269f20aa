//! Builds the projections of parts that have none: inserts leave them to the first merge
//! (`infra/clickhouse/0044_ledger_projections_by_merges.sql`), and some parts are never merged by themselves.
//!
//! Merges join neighbours that have the same projections. A part without any whose neighbours have them waits for ever,
//! and its neighbours can't be merged over it: without this the parts would become ever more.

use std::sync::Arc;
use std::time::Duration;

use infra::database::ClickHouseConfig;

use crate::error::Result;
use crate::tables::Tables;
use crate::work::Work;

const EVERY: Duration = Duration::from_secs(300);
/// Merges had so long: on their way, a part has its projections within seconds.
const AGE: Duration = Duration::from_secs(300);
/// What an insert leaves out.
const PROJECTIONS: [(&str, &str); 2] = [
    ("ledger", "MATERIALIZE PROJECTION positions, MATERIALIZE PROJECTION by_event"),
    ("events", "MATERIALIZE PROJECTION by_log, MATERIALIZE PROJECTION listed"),
];

/// Looks for such parts again and again, until it is dropped.
pub(crate) async fn watch(work: Arc<Work>) {
    loop {
        tokio::time::sleep(EVERY).await;
        // Of several projectors one is enough, and partition 0 is one projector's.
        if work.confirmed().contains_key(&0) {
            match build_in(&work.tables, AGE).await {
                Ok(0) => {}
                Ok(parts) => tracing::debug!(parts, "projections built"),
                Err(error) => tracing::warn!(%error, "some parts stay without projections for now"),
            }
        }
    }
}

/// Builds the projections of all parts that have had none for `age`, and says how many parts those were. Parts that
/// have them are not rewritten.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn build(clickhouse: &ClickHouseConfig, generation: u32, age: Duration) -> Result<u64> {
    // Of no topic: its name is in those of inserts only.
    build_in(&Tables::new(clickhouse, generation, ""), age).await
}

async fn build_in(tables: &Tables, age: Duration) -> Result<u64> {
    let mut built = 0;
    for (table, mutation) in PROJECTIONS {
        let parts = tables.bare_parts(table, age).await?;
        if parts > 0 {
            tables.alter(table, mutation).await?;
        }
        built += parts;
    }
    Ok(built)
}
