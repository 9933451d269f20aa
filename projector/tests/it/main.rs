//! Tests the projector with a real broker and a real ClickHouse.
//!
//! All tests share one stack; each has a topic and a database. A test that stops parts of the stack starts its own.

mod bed;
mod raw;
mod log;
mod zombies;
mod rounds;
mod identity;
mod heal;
mod erase;
mod retention;
mod parts;
