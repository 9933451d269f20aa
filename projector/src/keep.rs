//! What runs behind the loop and keeps the tables right.
//!
//! - [`audit`]: does it all add up; `heal`: judge a range again and put right what it lacks; `restore`: a lost shard
//! - [`sequences`]: the sessions' sequences, brought up to date from `events`
//! - [`usage`]: use by day, brought up to what `sequences` includes; [`epochs`]: which counts hold
//! - [`erase`]: what the tables hold of erased sessions goes; `retention`: how much of the log the tables keep
//! - [`parts`]: projections that no merge builds; `disks`: how full they are; `probes`: who answers, and where the log ends

use std::collections::BTreeMap;

pub mod audit;
pub(crate) mod heal;
pub(crate) mod restore;
pub mod sequences;
pub mod usage;
pub mod epochs;
pub mod erase;
pub(crate) mod retention;
pub mod parts;
pub(crate) mod disks;
pub(crate) mod probes;

/// The next offset of each partition, below which everything is included.
pub type Positions = BTreeMap<u16, u64>;
