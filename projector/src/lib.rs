//! The projector: gives every offset of the log exactly one verdict, in ClickHouse, whatever dies.
//!
//! ```text
//! Kafka --poll--> judge --> row --> chunk --intent--> ClickHouse landing --> ledger, events, rejections
//!                   |                          ^
//!                   +-- window of event ids    +-- verify and heal whenever the outcome is unclear
//! ```
//!
//! # Layout
//!
//! - [`serve`](serve()): the service: which generation, the loop's thread, HTTP, reloads
//! - `consume`: the loop: poll, close chunks, announce, insert; the fence
//! - `slot`: an owned partition, resumed or running; `partition`: one partition's open chunk, gaps of the log, limits; `pace`: when a chunk closes
//! - `strangers`: records of applications that the registry does not name yet
//! - `projection`: log to rows, a pure function; `window`: event ids; `row`, `chunk`: rows, column by column
//! - `resume`: where a partition goes on; `intent`: what is announced
//! - `settle`: verify and heal a chunk; `tables`: the statements
//! - [`audit`]: does it all add up; `heal`: judge a range again and put right what it lacks
//! - `erasures`: the sessions that the log asks to erase; [`erase`]: what the tables hold of them goes
//! - `retention`: how much of the log the tables keep
//! - [`generations`]: re-projection beside the serving generation, comparison, dropping
//! - [`check_schemas`]: what changed schemas would make of the log's history; [`propose_schema`]: a first one
//! - [`servers`]: ClickHouse's servers, one by one; a shard that has lost its tables gets them again
//! - [`sequences`]: the sessions' sequences, brought up to date from `events`
//! - [`usage`]: use by day, brought up to what `sequences` includes
//! - [`parts`]: projections that no merge builds
//! - [`config`], [`cli`]: settings and verbs; `metrics`, `http`: how it is watched; `disks`: ClickHouse's

pub mod serve;
mod judge;
mod commit;
pub mod keep;
pub mod verbs;
mod log;
mod database;
pub mod servers;
mod work;
mod progress;
mod error;
pub mod config;
pub mod cli;
mod metrics;
mod http;

pub use config::ProjectorConfig;
pub use error::Error;
pub use serve::serve;
