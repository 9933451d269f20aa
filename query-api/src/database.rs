//! The serving generation, as questions see it: read only, within limits.

use clickhouse::Client;
use clickhouse::query::Query;
use infra::database::ClickHouseConfig;

use crate::config::Limits;
use crate::params::Filter;

/// Bytes of an answer that is no stream.
const MAX_RESULT: u64 = 32 << 20;

/// One generation. Statements name its tables without a database.
#[derive(Debug, Clone)]
pub struct Database {
    client: Client,
    name: String,
    /// Over a cluster.
    is_spread: bool,
}

impl Database {
    pub(crate) fn new(clickhouse: &ClickHouseConfig, generation: u32, limits: &Limits) -> Self {
        let name = clickhouse.generation(generation);
        let bytes = limits.memory_mib * 1024 * 1024;
        let client = clickhouse
            .client()
            .with_database(&name)
            .with_setting("max_execution_time", limits.time.as_secs().to_string())
            // Dates before 1970 and after 2106 have hours, days and months, too.
            .with_setting("enable_extended_results_for_datetime_functions", "1")
            // What a statement learns of rows by their places, it uses on the same parts, though they be merged meanwhile.
            .with_setting("enable_shared_storage_snapshot_in_query", "1")
            .with_setting("max_memory_usage", bytes.to_string())
            // A page is held as a whole, as rows and as JSON: a thousand of the largest events would be 1 GB.
            .with_setting("max_result_bytes", MAX_RESULT.to_string())
            // Large groupings go to disk well before the limit: slower, but they end.
            .with_setting("max_bytes_before_external_group_by", (bytes / 3 * 2).to_string())
            .with_setting("max_bytes_before_external_sort", (bytes / 3).to_string())
            .with_setting("max_bytes_ratio_before_external_group_by", "0")
            .with_setting("max_bytes_ratio_before_external_sort", "0");
        Self { client, name, is_spread: clickhouse.cluster.is_some() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A question's text; its values come by [`Query::param`] only.
    pub fn query(&self, sql: &str) -> Query {
        self.client.query_raw(sql)
    }

    /// A statement without what is meant for other forms: one server, or a cluster.
    pub(crate) fn spread(&self, sql: &str) -> String {
        conditional(sql, |condition| (condition == "spread").then_some(self.is_spread))
    }

    /// [`Self::query`] for a text that begins with `selected.sql`, with the filter's values.
    pub(crate) fn sequences(&self, sql: &str, filter: &Filter) -> Query {
        let sql = conditional(sql, |condition| match condition {
            "spread" => Some(self.is_spread),
            "ranged" => Some(filter.is_ranged()),
            "picked" => Some(filter.picks()),
            _ => None,
        });
        filter.bind(self.query(&sql))
    }

    /// [`Self::query`] for what reads some rows: to start more threads takes longer than they save.
    pub(crate) fn small(&self, sql: &str) -> Query {
        self.query(sql)
            .with_setting("max_threads", "1")
            .with_setting("output_format_parallel_formatting", "0")
    }
}

/// A statement without the lines whose condition does not hold: `-- IF name` and `-- IF NOT name` at a line's end.
/// Those that `holds` does not know stay as they are.
pub(crate) fn conditional(sql: &str, holds: impl Fn(&str) -> Option<bool>) -> String {
    let is_kept = |line: &&str| {
        let Some((text, condition)) = line.trim_end().rsplit_once("-- IF ") else { return true };
        let (name, wanted) = condition.strip_prefix("NOT ").map_or((condition, true), |name| (name, false));
        text.trim_start().starts_with("-- ###") || holds(name).is_none_or(|held| held == wanted)
    };
    sql.split_inclusive('\n').filter(is_kept).collect()
}

/// The text of a question that reads `sequences`: what all of them begin with, and its own file below `src`.
macro_rules! selected_sql {
    ($file:literal) => {
        concat!(
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/selected.sql")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/", $file))
        )
    };
}
pub(crate) use selected_sql;
