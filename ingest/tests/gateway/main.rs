//! The gateway on a real broker, spoken to by HTTP.

mod gateway;
mod intake;
mod never_hangs;

pub(crate) use gateway::{Gateway, Options};
