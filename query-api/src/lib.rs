//! Answers questions about use and order from the tables of The Eye; serves the console. Only reads.
//!
//! ```text
//! request -> guard (key, room) -> params (unknown ones refused) -> as_of, ETag (304?)
//!         -> one .sql with server-side parameters -> rows -> answer with as_of
//! ```
//!
//! # Layout
//! - `service`: the parts, the routes, start and stop
//! - [`answer`]: the frame of every answer: as_of, ETag, 304
//! - [`params`], [`cursor`], [`values`]: what may be asked, and the types of both sides
//! - [`usage`], [`ordering`], [`events`], [`operations`]: the questions; each with its `.sql` files in the
//!   folder of the same name
//! - `database`: the serving generation, within limits
//! - `readers`: who may ask, and how often
//! - `docs`, `console`: OpenAPI, and the web page
//! - [`config`], [`error`], [`metrics`]
//!
//! **Invariant:** values reach SQL as server-side parameters only.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod answer;
mod config;
mod console;
pub mod cursor;
mod database;
mod docs;
pub mod error;
pub mod events;
pub mod metrics;
pub mod operations;
pub mod ordering;
pub mod params;
mod readers;
mod service;
pub mod usage;
pub mod values;

pub use config::{Config, Limits};
pub use service::Service;
