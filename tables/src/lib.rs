//! What ClickHouse holds: the tables and views, how they come into being, and what their numbers mean.
//!
//! A *generation* N is a whole projection of the log in a database of its own, `eye_gN`. Analysts and the query API read
//! the views of `eye`, which point at the serving generation. Re-projection builds the next one beside it and then
//! [`serve`]s it.
//!
//! # Layout
//! - `ddl/`: a file for each table, with the view that fills it, as it is today; `views/`: what readers see
//! - `ddl/changes/`: how tables of an earlier release become those of today
//! - [`ddl`]: the files in the order in which they are run
//! - [`migrate`](mod@migrate): a generation comes into being, is changed, serves; `make`: its tables on one server
//! - [`generations`]: which there are, which one serves, and whether this program fits it
//! - [`restore`](mod@restore): tables that a shard has lost are made again
//! - [`cluster`]: the same statements for a cluster, and what a table is called there
//! - [`verdict`]: the verdicts' numbers, and which tables get a row; [`account`]: when a ledger adds up
//!
//! **Invariant:** knows `infra` and no other crate of ours. It alone knows both the verdicts and ClickHouse.

pub mod account;
pub mod cluster;
pub mod ddl;
pub mod migrate;
mod make;
pub mod generations;
pub mod restore;
pub mod verdict;

pub use generations::{OtherVersion, check_version, list, serving};
pub use migrate::{migrate, migrate_by, render, serve};
pub use restore::{forget_sequences, is_lost, made, restore};
pub use verdict::Verdict;
