//! The pipeline on the local stack, for `make run`, the end-to-end tests and the checks that other
//! languages run against it.
//!
//! # Layout
//! - [`Pipeline`]: for a test, a topic and a database of its own on the stack that the binary shares
//! - [`services`]: how the three services are called
//! - [`demo`], [`reference`]: the demo data and the answers it must give
//! - [`proxy`]: cuts connections
//!
//! The program `eye` (`tests/eye`) is what `make run` starts.

pub mod demo;
pub mod pipeline;
pub mod proxy;
pub mod reference;
pub mod services;

pub use pipeline::{Pipeline, Verdict, eventually};
