//! Lag and freshness at a glance.

use std::collections::BTreeSet;

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::as_of::AsOf;
use crate::error::Error;
use crate::params::{NoParams, Params};
use crate::values::Time;

/// How a partition keeps up.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PartitionHealth {
    pub partition: u16,
    /// First offset of the log; null if no broker answered.
    pub log_start: Option<u64>,
    /// Next offset of the log; null if no broker answered.
    pub log_end: Option<u64>,
    /// The offset that the tables include next.
    pub position: u64,
    /// The offset that the sequences include next.
    pub sequences_position: u64,
    /// Offsets that the tables lack; null if no broker answered.
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
    /// Offsets that the tables have and the sequences lack. Answers about order add them.
    pub sequences_lag: u64,
    /// Age of the newest included record in seconds; 0 if the tables lack nothing.
    pub freshness_seconds: Option<f64>,
    /// What the sequences include, as `as_of` says it of the tables.
    pub sequences_as_of: AsOf,
    pub now: Time,
    pub partitions: Vec<PartitionHealth>,
}

/// Lag and freshness at a glance.
#[utoipa::path(get, path = "/v1/health", tag = "Operations", responses((status = 200, body = Health)))]
pub async fn health(ask: Ask, Params(_): Params<NoParams>) -> Result<Response, Error> {
    let log = ask.app.log.clone();
    ask.always(async |database, as_of| {
        let bounds = log.bounds().await;
        let sequences = AsOf::of_sequences(database).await?;
        let position = |of: &AsOf, partition: &u16| of.positions.get(partition).copied().unwrap_or(0);
        let known: BTreeSet<u16> = bounds.keys().chain(as_of.positions.keys()).copied().collect();
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
