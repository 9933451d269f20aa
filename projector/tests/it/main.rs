//! The projector on the real broker and the real engine.
//!
//! One stack serves all tests; each has a topic and a database of its own. Tests that kill or stop parts
//! of the stack start their own.

mod bed;
mod raw;
mod log;
mod zombies;
mod heal;
mod erase;
mod retention;
mod parts;
