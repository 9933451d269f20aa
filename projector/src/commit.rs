//! From a row into the tables, exactly once: the loop, its partitions, what it announces and verifies.

pub(crate) mod consume;
pub(crate) mod slot;
pub(crate) mod partition;
pub(crate) mod strangers;
pub(crate) mod pace;
pub(crate) mod intent;
pub(crate) mod resume;
pub(crate) mod attempt;
pub(crate) mod settle;
pub(crate) mod insert;
pub(crate) mod ledger;
