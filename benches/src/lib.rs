//! What the benchmarks share.
//!
//! # Layout
//! - [`load`]: a load that looks real, seeded
//! - [`process`]: CPU time and memory of a process
//! - `bin/`: the benchmarks, one a folder; `make bench-*` runs them. They print `figure NAME VALUE UNIT`

pub mod load;
pub mod process;
