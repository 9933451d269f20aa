//! The verbs of the program except `run`: a file each, with its arguments and its output.

pub mod migrate;
pub mod accept_loss;
pub mod audit;
pub mod reproject;
pub mod generations;
pub mod compare;
pub mod erase;
pub mod check_schemas;
pub mod propose_schema;
