//! The gateway: takes events by HTTP, appends them to the log, acknowledges what the brokers have.
//!
//! ```text
//! request -> admit (key, network, origin) -> body (bounds, inflate) -> slice -> personal values -> rate
//!         -> append (room, queue, wait for all acknowledgements) -> receipts
//! ```
//!
//! The gateway is thin: it finds out where each event begins and ends, whether it is JSON, its two ids and its type.
//! The bytes go into the log as they came, except for values that an event type marks as personal. The gateway never
//! hangs: every wait has a bound. A sender over a bound is told when to come back.
//!
//! # Layout
//! - [`server`], [`prompt`]: connections, routes, start and end; [`gateway`]: the state that requests share
//! - [`intake`]: `POST /events`
//! - [`admit`]: applications, keys, rates
//! - [`body`], [`slice`], [`json`]: from bytes to events
//! - [`personal`]: values that stay out of the log
//! - [`append`]: the producer
//! - [`receipts`], [`error`]: the answers
//! - [`new_key`]: `ingest keys new`
//! - [`docs`], [`config`], [`metrics`], [`tls`]

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admit;
mod append;
mod body;
pub mod config;
mod docs;
mod error;
mod gateway;
mod intake;
pub mod json;
pub mod new_key;
mod metrics;
mod personal;
mod prompt;
mod receipts;
mod server;
pub mod slice;
mod tls;

pub use server::serve;
