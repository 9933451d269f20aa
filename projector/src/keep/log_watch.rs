//! Looks while the projector runs whether the log is still the same one: a topic may be made anew, or its brokers may
//! lose records, without a rebalance and without an error that the loop sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::commit::identity::contradicted;
use crate::error::Result;
use crate::judge::witness::Witness;
use crate::log::{Break, Why};
use crate::work::Work;

/// How long the task waits between two looks, if no error of the log asks for one.
const LOOK: Duration = Duration::from_secs(10);
/// How long the task waits before it believes that the log is shorter: a broker that has just become the leader may lag.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn watch(work: Arc<Work>) {
    // What the loop had judged at the last look: what came since may be of another log already.
    let mut before: BTreeMap<i32, Witness> = BTreeMap::new();
    loop {
        // In time or not: both times it is looked.
        let _ = timeout(LOOK, work.log_error.notified()).await;
        let now = work.progress.witnesses();
        for (partition, witness) in &before {
            if !now.contains_key(partition) {
                continue;
            }
            match look(&work, *partition, *witness).await {
                Ok(None) => {}
                Ok(Some(found)) => {
                    tracing::error!(partition, %found, "another log");
                    match work.database.say_refused(&found).await {
                        Ok(()) => work.progress.break_off(&found),
                        Err(error) => tracing::warn!(%error, "log_breaks"),
                    }
                }
                Err(error) => tracing::debug!(partition, %error, "the log was not compared"),
            }
        }
        before = now;
    }
}

async fn look(work: &Work, partition: i32, witness: Witness) -> Result<Option<Break>> {
    let mut log = work.bounds(partition).await?;
    if log.end <= witness.offset {
        tokio::time::sleep(AGAIN).await;
        log = work.bounds(partition).await?;
    }
    let why = if log.end <= witness.offset {
        Why::Shorter { known_end: witness.offset + 1 }
    } else if log.start <= witness.offset && contradicted(work, partition, &[witness]).await?.is_some() {
        Why::Other
    } else {
        return Ok(None);
    };
    Ok(Some(Break { partition, offset: log.end.min(witness.offset), why }))
}
