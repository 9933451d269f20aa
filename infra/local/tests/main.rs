//! Against the real parts: the ClickHouse server's protocol, its durability, other people's clients, and
//! the supervision of processes.

mod clients;
mod durability;
mod limits;
mod processes;
mod protocol;
mod streams;
mod support;
