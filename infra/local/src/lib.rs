//! Real Kafka and a real ClickHouse on this machine, from package registries, for development and tests.
//!
//! ```no_run
//! # async fn f() -> anyhow::Result<()> {
//! use local_stack::{Stack, StackOptions};
//! let stack = Stack::start(StackOptions::default()).await?; // free ports, temporary data
//! let brokers = stack.kafka.address();                      // "127.0.0.1:12345"
//! let url = stack.clickhouse.url();                         // "http://127.0.0.1:12346"
//! stack.kafka.process.kill().await;                         // SIGKILL; down until start()
//! stack.kafka.process.start();
//! stack.kafka.process.ready(local_stack::START).await?;
//! # Ok(()) }
//! ```
//!
//! Both parts are [`Supervised`] child processes: stopped, killed, paused (`SIGSTOP`) and started again
//! one by one for tests of faults, restarted with backoff where wished, never left behind. Use
//! [`Supervised::spawn`] for other programs, too.
//!
//! One part alone: [`KafkaAlone`], [`ClickHouseAlone`]. By hand: `cargo run -p local-stack -- --help`.
//!
//! The ClickHouse server is a program of this crate, `clickhouse-local-server`: see [`serve`].
//!
//! # Layout
//! `stack` starts the parts, `kafka`, `clickhouse` and `engine` know how each is fetched and started, `supervise` and
//! `ready` look after a process, `data`, `ports` and `cache` are what the parts live in, `harm` what may happen
//! to their files. `server` is the ClickHouse server's program, `ffi` everything unsafe.

mod stack;

mod clickhouse;
mod engine;
mod kafka;

mod ready;
pub mod supervise;

mod cache;
mod data;
mod ports;
pub mod harm;

mod server;

mod ffi;

pub use clickhouse::{ClickHouse, ClickHouseOptions};
pub use kafka::{Kafka, KafkaOptions};
pub use ports::Port;
pub use ready::{Ready, START};
pub use server::{ServerConfig, serve};
pub use stack::{ClickHouseAlone, KafkaAlone, Stack, StackOptions};
pub use supervise::Supervised;
