//! Answers questions about use and order from the tables of The Eye; serves the console. Only reads.
//!
//! ```text
//! request -> guard (key, room) -> params (unknown ones refused) -> as_of, ETag (304?)
//!         -> one .sql with server-side parameters -> rows -> answer with as_of
//! ```
//!
//! # Layout
//! Each file uses only files that stand above it in this list, and those of its own folder.
//! - [`config`], [`error`], [`metrics`]
//! - [`values`], [`params`], [`cursor`], [`calendar`]: what may be asked, and the types of both sides
//! - `sql`: the `.sql` files of all questions, as templates
//! - `database`: the serving generation, within limits
//! - [`as_of`]: what the tables include of the log, and whether they changed
//! - `log`, `readers`, [`feed`]: the ends of the log, who may ask and how often, what comes in
//! - `app`: what all handlers share, and the files that it follows
//! - [`answer`]: the frame of every answer: as_of, ETag, 304
//! - [`usage`], [`ordering`], [`events`], [`operations`]: the questions, one a file; their `.sql` files lie beside them
//! - `docs`, `console`: OpenAPI, and the web page
//! - `routes`: the routing table, and the guard that every question passes
//! - `service`: connect, answer, stop
//!
//! **Invariant:** values reach SQL as server-side parameters only.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod app;
pub mod answer;
pub mod as_of;
pub mod calendar;
mod config;
mod console;
pub mod cursor;
mod database;
mod docs;
pub mod error;
pub mod events;
pub mod feed;
mod log;
pub mod metrics;
pub mod operations;
pub mod ordering;
pub mod params;
mod readers;
mod routes;
mod service;
mod sql;
pub mod usage;
pub mod values;

pub use config::{Config, Limits};
pub use service::Service;
