//! The verbs of the program, but for `run`.

pub mod generations;
pub mod check_schemas;
pub mod propose_schema;
