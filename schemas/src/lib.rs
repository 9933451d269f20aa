//! What an event is, and what makes one acceptable: event types, and the judge of log records.
//!
//! The crate is pure: no clock, no network, no log, no tables. Its one contact with the outside is
//! [`Registry::load`], which reads folders of JSON Schemas. The same record, judged with the same
//! [`Registry`], [`apps::Apps`] and [`Settings`], always gets the same [`Judgement`].
//!
//! ```text
//! Record (bytes of the log) --> Judge --> Judgement (accepted, or rejected with every Reason)
//!                                 |
//!              Registry: event type, version -> compiled schema
//! ```
//!
//! # Layout
//!
//! - [`Record`], [`Headers`]: a log record as a consumer got it.
//! - [`Judge`], [`Judgement`], [`Settings`]: the verdict.
//! - [`Reason`], [`ReasonCode`]: why a record was rejected.
//! - [`Registry`], [`EventType`]: the event types, built in and from folders.
//! - [`apps`]: the registry of applications.
//! - [`Event`]: the envelope as a Rust type, for clients and documentation; [`generated`]: JSON
//!   Schemas of it and of a reason, kept in `generated/`.
//! - [`erasure`]: requests to erase, and who may make them.
//! - [`personal`]: personal values, kept out of the log.
//! - [`check`]: whether event types are judged as their examples promise.
//! - [`compat`]: what a new version of a schema changes; [`Proposal`]: a first schema for events of an
//!   unknown type.
//! - `event-types/`: the built-in schemas, with valid and invalid examples beside each; its README
//!   describes the format.

// Hostile bytes enter here.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod apps;
pub mod check;
pub mod compat;
mod data;
mod envelope;
pub mod erasure;
mod json;
mod judge;
pub mod personal;
mod propose;
mod reason;
mod record;
mod registry;
mod timestamp;

pub use envelope::{Event, generated};
pub use json::{MAX_DEPTH, plain_length};
pub use judge::{Judge, Judgement, Settings};
pub use propose::Proposal;
pub use reason::{MAX_REASONS, Reason, ReasonCode};
pub use record::{Headers, Record, header, traceparent};
pub use registry::{EventType, Example, ExpectedReason, Registry, RegistryError};
