//! Everything unsafe of this repository.

pub(crate) mod chdb;
pub(crate) mod parent_death;
