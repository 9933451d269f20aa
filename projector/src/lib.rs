//! The projector: gives every offset of the log exactly one verdict in ClickHouse, even when parts of the system die.
//!
//! ```text
//! Kafka --poll--> judge --> row --> chunk --intent--> ClickHouse landing --> ledger, events, rejections
//!                   |                          ^
//!                   +-- window of event ids    +-- verify and heal whenever the outcome is unclear
//! ```
//!
//! # Layout: four rooms
//!
//! - `judge`: from a record to a row. Pure: no Kafka, no ClickHouse, no clock
//! - `commit`: from a row into the tables, exactly once: the loop, its partitions, intents, inserts, healing a chunk
//! - [`keep`]: tasks behind the loop that keep the tables right: audit, sequences, days of use, erasure, retention
//! - [`verbs`]: the commands, a file each
//!
//! What the rooms share:
//!
//! - [`serve`](serve()): the service: chooses the generation, runs the loop and its tasks, reloads
//! - `work`: what the loop and its tasks share; `progress`: how far each partition is, and which servers answer
//! - `log`: reads the topic; `database`: the database of a generation; [`servers`]: each of its servers by itself
//! - [`config`], [`cli`]: settings and verbs; `metrics`, `http`: metrics and health checks

pub mod serve;
mod judge;
mod commit;
pub mod keep;
pub mod verbs;
mod work;
mod progress;
mod log;
mod database;
pub mod servers;
mod error;
pub mod config;
pub mod cli;
mod metrics;
mod http;

pub use config::ProjectorConfig;
pub use error::Error;
pub use serve::serve;
