//! The verbs of the program.

use std::net::SocketAddr;

use anyhow::Context;
use clap::{Parser, Subcommand};
use infra::telemetry::TelemetryConfig;
use tokio::net::TcpListener;

use crate::config::ProjectorConfig;
use crate::verbs::accept_loss::AcceptLossArgs;
use crate::verbs::audit::AuditArgs;
use crate::verbs::check_schemas::CheckSchemasArgs;
use crate::verbs::compare::CompareArgs;
use crate::verbs::erase::EraseArgs;
use crate::verbs::generations::GenerationsArgs;
use crate::verbs::migrate::MigrateArgs;
use crate::verbs::propose_schema::ProposeSchemaArgs;
use crate::verbs::reproject::ReprojectArgs;

/// Gives every record of the log exactly one verdict, in ClickHouse.
///
/// Every option can also be set by the environment variable that its help names.
#[derive(Debug, Parser)]
#[command(name = "projector", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Project the serving generation until SIGTERM. Several projectors may run: they share the partitions.
    Run(Box<ProjectorConfig>),
    /// Create what is missing: the topic, the tables of the serving generation, the views.
    Migrate(MigrateArgs),
    /// Check that every offset of the log has one verdict and every verdict its rows. Exit code 1 if not.
    Audit(Box<AuditArgs>),
    /// Say what the log has lost of the records that were judged, and accept it with --yes.
    ///
    /// For a topic that was made anew, restored from an older copy, or whose brokers lost their last records. The
    /// projectors project nothing of such a partition. Exit code 1 if something is to be decided.
    AcceptLoss(Box<AcceptLossArgs>),
    /// Build the next generation from the first offset beside the serving one, then serve it.
    ///
    /// It can be stopped and started again. Running projectors switch to the new generation.
    Reproject(Box<ReprojectArgs>),
    /// List the generations, or drop one.
    Generations(GenerationsArgs),
    /// Erase sessions for ever, by a request in the log: no table keeps anything of them.
    Erase(EraseArgs),
    /// Compare two generations row for row. Exit code 1 if they differ.
    Compare(CompareArgs),
    /// Judge the log's history by changed schemas and say which verdicts would differ. Writes nothing.
    ///
    /// Checks the types first: each example must get the verdict that it promises. --offline does only that, and
    /// requires a valid and an invalid example of each type. Exit code 1 if an event that is valid now would become
    /// invalid, 2 if the command line or the file of applications is wrong, 3 if a type or an example is faulty, 4 if
    /// the log can't be read.
    CheckSchemas(Box<CheckSchemasArgs>),
    /// Print a first schema for an undeclared event type, derived from its events in the log.
    ProposeSchema(ProposeSchemaArgs),
}

/// # Errors
/// The address is taken; the message says how to give another one.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}: give another address with --listen"))
}
