//! From a record to a row. The row is a pure function of the log, the event types, the applications and the settings.
//!
//! - `projection`: turns a partition's log into rows; `window`: the event ids that it remembers
//! - `erasures`: the sessions that the log asks to erase; `unknown`: names that the registries do not have
//! - `row`: what a row says; `native`: rows in ClickHouse's format; `chunk`: consecutive rows, ready to be inserted
//! - `witness`: recognises a record that was judged; `tally`: counts for the metrics

pub(crate) mod projection;
pub(crate) mod window;
pub(crate) mod erasures;
pub(crate) mod unknown;
pub(crate) mod row;
pub(crate) mod native;
pub(crate) mod chunk;
pub(crate) mod witness;
pub(crate) mod tally;
