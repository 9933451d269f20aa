//! The tasks that run behind the loop and keep the tables right.
//!
//! - [`audit`]: checks that the tables add up; `heal`: judges a range again and repairs its rows; `restore`: makes the
//!   tables of a lost shard again
//! - [`sequences`]: computes the sessions' sequences from `events`
//! - [`usage`]: counts the days of use as far as `sequences` are complete; [`epochs`]: which counts are valid
//! - [`erase`]: removes erased sessions from the tables; `retention`: removes what is older than the tables keep
//! - [`parts`]: builds projections that no merge builds; `disks`: how full they are; `probes`: which servers answer,
//!   and where the log ends; `log_watch`: whether the log is still the same

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
pub(crate) mod log_watch;

/// The next offset of each partition: everything below it is included.
pub type Positions = BTreeMap<u16, u64>;
