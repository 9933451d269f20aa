//! From a row into the tables, exactly once.
//!
//! - `consume`: the loop and its rounds; `slot`: an owned partition and what the loop does with it
//! - `partition`: a running partition's open chunk (rows, bytes), gaps of the log, a chunk that is to be compared
//! - `pace`: when a round closes, by time; `strangers`: records that wait for their names to be known
//! - `intent`: what a commit announces; `resume`: where a partition goes on; `identity`: whether the log is
//!   still the same
//! - `attempt`: one attempt to get a chunk into the tables, and how long until the next; `insert`: the statement;
//!   `settle`: compares, and inserts what is missing; `ledger`: what the tables say of a partition

pub(crate) mod consume;
pub(crate) mod slot;
pub(crate) mod partition;
pub(crate) mod pace;
pub(crate) mod strangers;
pub(crate) mod intent;
pub(crate) mod resume;
pub(crate) mod identity;
pub(crate) mod attempt;
pub(crate) mod insert;
pub(crate) mod settle;
pub(crate) mod ledger;
