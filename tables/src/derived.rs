//! How `sequences` and `usage_days` follow from `events`: one statement for the passes of the projector, which keep
//! what it computes, and for questions, which add what no pass has kept yet.
//!
//! A statement takes a stretch of the log as `{partitions:Array(UInt16)}`, `{starts:Array(UInt64)}` and
//! `{ends:Array(UInt64)}`, and `{everything:Bool}`. It fails with [`NO_NUMBER`] if an event's feature has no number yet.

/// A part of the message of an exception: an event was found whose feature is not in `features`.
pub const NO_NUMBER: &str = "a feature without a number";

/// The most offsets that a question adds by itself. Beyond this an answer ends where the last pass ended.
pub const MOST_ADDED: u64 = 50_000;

/// The rows of `sequences` of all sessions that a stretch touches. `all` stands before the names of tables that have
/// the rows of all servers: `database.`, or nothing if that is the statement's own database.
pub fn sequences(all: &str) -> String {
    filled(include_str!("../derived/sequences.sql"), all)
}

/// The rows that a run of `usage_days` has for a stretch, without the number of the run.
pub fn usage_days(all: &str) -> String {
    filled(include_str!("../derived/usage_days.sql"), all)
}

/// The ids of the sessions that a stretch touches.
pub fn touched(all: &str) -> String {
    include_str!("../derived/touched.sql").replace("{all}.", all)
}

fn filled(statement: &str, all: &str) -> String {
    statement.replace("{touched}", &touched(all)).replace("{all}.", all)
}
