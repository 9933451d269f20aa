//! The serving generation, as questions see it: read only, within limits.

use std::sync::Arc;

use clickhouse::Client;
use clickhouse::query::Query;
use infra::database::ClickHouseConfig;

use crate::as_of::found::Whole;
use crate::as_of::stretch::Stretch;
use crate::config::Limits;
use crate::error::Error;
use crate::params::Filter;
use crate::sql::{self, Form, Form::Is};

/// The bytes that an answer may have, unless it is a stream.
const MAX_RESULT: u64 = 32 << 20;

/// One generation. Statements name its tables without a database.
#[derive(Debug, Clone)]
pub struct Database {
    client: Client,
    name: String,
    /// Whether its tables lie on several servers.
    is_spread: bool,
    /// What questions add to `sequences` or `usage_days`.
    added: Option<Stretch>,
    pub(crate) whole: Arc<Whole>,
}

impl Database {
    pub(crate) fn new(clickhouse: &ClickHouseConfig, generation: u32, limits: &Limits) -> Self {
        let name = clickhouse.generation(generation);
        let bytes = limits.memory_mib * 1024 * 1024;
        let client = clickhouse
            .client()
            .with_database(&name)
            .with_setting("max_execution_time", limits.time.as_secs().to_string())
            // For hours, days and months of dates before 1970 and after 2106.
            .with_setting("enable_extended_results_for_datetime_functions", "1")
            // A statement that finds rows by their places reads the same parts all along, even if they are merged
            // meanwhile.
            .with_setting("enable_shared_storage_snapshot_in_query", "1")
            .with_setting("max_memory_usage", bytes.to_string())
            // A page is in memory as a whole, as rows and as JSON: a thousand of the largest events would take 1 GB.
            .with_setting("max_result_bytes", MAX_RESULT.to_string())
            // Large groupings go to disk well before the limit: they are slower, but they end.
            .with_setting("max_bytes_before_external_group_by", (bytes / 3 * 2).to_string())
            .with_setting("max_bytes_before_external_sort", (bytes / 3).to_string())
            .with_setting("max_bytes_ratio_before_external_group_by", "0")
            .with_setting("max_bytes_ratio_before_external_sort", "0");
        Self { client, name, is_spread: clickhouse.cluster.is_some(), added: None, whole: Arc::default() }
    }

    /// The same for a question that adds a stretch of the log.
    pub(crate) fn adding(&self, added: Option<&Stretch>) -> Self {
        Self { added: added.cloned(), ..self.clone() }
    }

    /// Whether a question adds a stretch of the log.
    pub(crate) fn is_adding(&self) -> bool {
        self.added.is_some()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The statement of a file. Its values come by [`Query::param`] only.
    pub(crate) fn query(
        &self,
        file: &str,
        form: impl IntoIterator<Item = (&'static str, Form)>,
    ) -> Result<Query, Error> {
        let form = form.into_iter().chain([("spread", Is(self.is_spread))]).collect();
        Ok(self.client.query_raw(&sql::statement(file, form)?))
    }

    /// [`Self::query`] for a statement that depends on the filters, with their values.
    pub(crate) fn filtered(
        &self,
        file: &str,
        filter: &Filter,
        form: impl IntoIterator<Item = (&'static str, Form)>,
    ) -> Result<Query, Error> {
        let filters = [
            ("ranged", Is(filter.is_ranged())),
            ("picked", Is(filter.picks())),
            ("of_features", Is(filter.kind() != 0)),
            ("adding", Is(self.is_adding())),
        ];
        let query = filter.bind(self.query(file, form.into_iter().chain(filters))?);
        Ok(match &self.added {
            Some(stretch) => stretch.bind(query),
            None => query,
        })
    }

    /// Whether ClickHouse answers at all.
    pub(crate) async fn answers(&self) -> Result<(), Error> {
        self.client.query_raw("SELECT 1").fetch_one::<u8>().await?;
        Ok(())
    }
}

/// For a statement that reads a few rows: starting more threads takes longer than they save.
pub(crate) fn small(query: Query) -> Query {
    query.with_setting("max_threads", "1").with_setting("output_format_parallel_formatting", "0")
}
