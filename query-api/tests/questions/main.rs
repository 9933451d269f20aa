//! The questions, asked over HTTP, on the real engine.
//!
//! - `world`: a log's tables and the API over them
//! - `demo`, `reference`: the demo data gives the reference answers, however it arrives
//! - `model`, `random`: small random logs give the answers of a plain implementation
//! - `order`: where sessions begin and end, what comes back, what follows step by step
//! - `api`: parameters, cursors, streams, caching, limits, keys
//! - `bounds`: what one asker can take
//! - `operations`: what became of an event, and whether it all adds up
//! - `days`: use by day, whatever happened to it
//! - `upgrade`: tables of an earlier version become those of today
//! - `views`: what docs/sql.md says
//! - `sequences`: several writers, loss, what arrives out of turn

#![allow(unreachable_pub, reason = "a test binary: its modules speak to each other only")]

mod api;
mod bounds;
mod days;
mod demo;
mod model;
mod operations;
mod order;
mod random;
mod reference;
mod sequences;
mod upgrade;
mod views;
mod world;
