//! What ClickHouse holds: the tables and views, how they are made, and what their numbers mean.
//!
//! A *generation* N is a projection of the whole log in a database of its own, `eye_gN`. Analysts and the query API
//! read the views of `eye`, which show the serving generation. Re-projection builds the next one, then [`serve`]s it.
//!
//! - `ddl/`: a file for each table as it is today, with the view that fills it; `views/`: what readers see
//! - `ddl/changes/`: turn the tables of an earlier release into those of today
//! - [`ddl`]: the files in the order in which they are run
//! - [`migrate`](mod@migrate): makes a generation, changes it, serves it; `make`: makes its tables on one server
//! - [`generations`]: which generations exist, which one serves, and whether this program fits it
//! - [`restore`](mod@restore): makes the tables that a shard has lost
//! - [`cluster`]: the same statements for a cluster, and the names of its tables
//! - [`derived`]: how `sequences` and `usage_days` follow from `events`
//! - [`verdict`]: the verdicts' numbers, and which tables get a row; [`account`]: when a ledger adds up
//!
//! **Invariant:** the crate depends on no other of ours but `infra`. It alone knows both the verdicts and ClickHouse.

pub mod account;
pub mod cluster;
pub mod ddl;
pub mod migrate;
mod make;
pub mod generations;
pub mod restore;
pub mod derived;
pub mod verdict;

pub use generations::{OtherVersion, check_version, list, serving};
pub use migrate::{migrate, migrate_by, render, serve};
pub use restore::{forget_sequences, is_lost, made, restore};
pub use verdict::Verdict;
