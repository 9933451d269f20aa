//! Looks while the projector runs whether the log is still the same one: a topic may be made anew, or its brokers may
//! lose records, without a rebalance and without an error that the loop sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::commit::identity::contradicted;
use crate::error::Result;
use crate::judge::witness::Witness;
use crate::work::Work;

/// How long the task waits between two looks, if no error of the log asks for one.
const LOOK: Duration = Duration::from_secs(10);
/// How long the task waits before it looks for a record again.
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
                Ok(true) => {}
                // Whoever owns the partition by now compares this record again, and says what it finds.
                Ok(false) => work.progress.suspect(*partition, witness.offset),
                Err(error) => tracing::debug!(partition, %error, "the log was not compared"),
            }
        }
        before = now;
    }
}

/// Whether the log has the record of this witness, or had it and has dropped it. One that is not found is looked for
/// again: a broker that has just become the leader may lag.
async fn look(work: &Work, partition: i32, witness: Witness) -> Result<bool> {
    for pause in [AGAIN, Duration::ZERO] {
        if contradicted(work, partition, &[witness]).await?.is_none()
            || work.bounds(partition).await?.start > witness.offset
        {
            return Ok(true);
        }
        sleep(pause).await;
    }
    Ok(false)
}
