//! What the three services share: how to reach the log and the tables, how to speak and how to stop.
//!
//! A service flattens [`kafka::KafkaConfig`] and [`database::ClickHouseConfig`] into its command line,
//! calls [`telemetry::init`] once, and hands [`shutdown::signal`] to its `serve`.
//!
//! # Layout
//! - [`kafka`]: brokers, topic, client options that pass through; the topic as `migrate` makes it
//! - [`database`]: the ClickHouse client, and how long to wait for it
//! - [`follow`]: files that change while a service runs
//! - [`telemetry`]: logs as text or JSON; [`traces`]: spans to a collector
//! - [`http`]: problem details (RFC 9457), request ids, `/metrics`
//! - [`shutdown`]: SIGTERM and Ctrl-C as a future
//!
//! **Invariant:** depends on none of our crates, and knows nothing of events or verdicts.

pub mod database;
pub mod follow;
pub mod http;
pub mod kafka;
pub mod shutdown;
pub mod telemetry;
pub mod traces;
