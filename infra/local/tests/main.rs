//! Against the real parts: the ClickHouse server's users, its durability, other people's clients, and the
//! supervision of processes.

mod clients;
mod durability;
mod processes;
mod shards;
mod statements;
mod support;
mod users;
