//! to be written
pub mod json;
pub mod slice;
