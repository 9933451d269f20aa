//! From a record to a row: a pure function of the log, the event types, the applications and the settings.

pub(crate) mod projection;
pub(crate) mod tally;
pub(crate) mod unknown;
pub(crate) mod window;
pub(crate) mod erasures;
pub(crate) mod row;
pub(crate) mod native;
pub(crate) mod chunk;
