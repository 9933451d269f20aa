//! What runs behind the loop and keeps the tables right.

pub mod audit;
pub(crate) mod heal;
pub mod erase;
pub(crate) mod retention;
pub mod sequences;
pub mod usage;
pub mod parts;
pub(crate) mod disks;
