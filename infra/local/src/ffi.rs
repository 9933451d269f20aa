//! Everything unsafe of this repository.

pub(crate) mod child;
