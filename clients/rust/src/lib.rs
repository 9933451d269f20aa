//! Send user-interaction events to The Eye.
//!
//! An application calls [`Client::track`], which returns at once: the event is stamped, serialised and put
//! into a bounded queue; a task sends batches and retries them under the same event ids until the gateway
//! has given a receipt for every event. Nothing here blocks or panics, and whatever could not be sent is
//! counted in [`Client::stats`].
//!
//! ```no_run
//! # async fn example() -> Result<(), the_eye_client::InvalidOption> {
//! use the_eye_client::{Client, Options};
//!
//! let eye = Client::start(Options::new("https://eye.example.com", "the application's key"))?;
//! let session = uuid::Uuid::new_v4();
//! eye.track(session, "page interaction", "pageview", &serde_json::json!({"host": "example.com", "path": "/"}));
//! eye.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//! - [`Client`], [`Options`]: what an application calls
//! - `queue`: the bounded queue and the accounts ([`Stats`])
//! - `sender`: the task: take a batch, post it, read the receipts, retry
//! - `answer`: what an answer of the gateway settles

mod answer;
mod client;
mod queue;
mod sender;

pub use client::{Client, InvalidOption, Options};
pub use queue::{Dropped, Stats};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
