//! What went wrong, and whether everything adds up.

pub mod audit;
pub mod event_types;
pub mod health;
pub mod live;
pub mod rejections;
