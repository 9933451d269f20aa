//! The database of a generation: reads, deletes, horizons. `commit::insert` inserts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, Compression};
use futures::future::try_join_all;
use infra::database::{ClickHouseConfig, within};
use tables::cluster;

use crate::error::{Error, Result};
use crate::servers::Servers;

/// How long a statement may take. After that its outcome is unclear.
pub(crate) const ANSWER: Duration = Duration::from_secs(120);
/// How long the question whether ClickHouse answers may take.
const PROBE: Duration = Duration::from_secs(2);
/// The most ranges of a delete.
const DELETED_AT_ONCE: usize = 500;
/// How long a mutation may take, which rewrites parts, or a query for its rows, which reads whole tables.
pub(crate) const MUTATION: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub(crate) struct Database {
    pub client: Client,
    /// A client for each server, kept for its connections.
    pub each: Vec<Client>,
    pub config: ClickHouseConfig,
    pub generation: u32,
    pub name: String,
    pub topic: String,
}

/// See `tables/ddl/horizons.sql`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Horizon {
    pub kept_from: u64,
    pub expired_to: u64,
}

impl Database {
    pub(crate) fn new(clickhouse: &ClickHouseConfig, generation: u32, topic: &str) -> Self {
        // Compressing costs the sender more than it saves on a local network.
        let client = clickhouse.client().with_compression(Compression::None);
        let name = clickhouse.generation(generation);
        let (each, config) = (clickhouse.clients(), clickhouse.clone());
        Self { client, each, config, generation, name, topic: topic.into() }
    }

    pub(crate) async fn answers(&self) -> Result<()> {
        let asked = self.client.query("SELECT 1").fetch_one::<u8>();
        within(PROBE, async { asked.await.map_err(Error::from) }).await.map(|_| ())
    }

    /// A query in which `{database}` is filled in.
    pub(crate) fn query(&self, sql: &str) -> Query {
        self.client.query(&sql.replace("{database}", &self.name))
    }

    /// Reads rows of `WIDTH` bytes in RowBinary: ten times faster than as structs.
    pub(crate) async fn read<const WIDTH: usize>(
        query: Query,
        mut row: impl FnMut(&[u8; WIDTH]),
    ) -> Result<()> {
        let mut cursor = query.fetch_bytes("RowBinary")?;
        let mut rest = Vec::new();
        while let Some(piece) = within(ANSWER, cursor.next()).await? {
            rest.extend_from_slice(&piece);
            let (rows, _) = rest.as_chunks::<WIDTH>();
            rows.iter().for_each(&mut row);
            let used = rows.len() * WIDTH;
            rest.drain(..used);
        }
        if !rest.is_empty() {
            return Err(clickhouse::error::Error::NotEnoughData.into());
        }
        Ok(())
    }

    /// Leaves one row of each of these offsets in a target. It names rows by their places in parts: a row whose part
    /// was merged meanwhile stays.
    pub(crate) async fn delete_repeated(&self, table: &str, partition: i32, offsets: &[u64]) -> Result<()> {
        for some in offsets.chunks(DELETED_AT_ONCE) {
            let sql = format!(
                "SELECT offset, _part, _part_offset FROM {}.{table} WHERE partition = {{partition:UInt16}} \
                 AND offset IN {{offsets:Array(UInt64)}} ORDER BY offset, _part, _part_offset LIMIT 1, 1000 BY offset",
                self.name
            );
            let query = self.client.query(&sql).param("partition", partition).param("offsets", some);
            let rows: Vec<(u64, String, u64)> = within(ANSWER, query.fetch_all()).await?;
            if !rows.is_empty() {
                let named =
                    |(offset, part, place): &(u64, String, u64)| format!("({offset}, '{part}', {place})");
                let rows = rows.iter().map(named).collect::<Vec<_>>().join(", ");
                let which = format!("partition = {partition} AND (offset, _part, _part_offset) IN ({rows})");
                self.alter(table, &format!("DELETE WHERE {which}")).await?;
            }
        }
        Ok(())
    }

    /// Deletes the rows of these ranges from a target, none between them, and waits until they are gone.
    pub(crate) async fn delete(&self, table: &str, partition: i32, ranges: &[Range<u64>]) -> Result<()> {
        for some in ranges.chunks(DELETED_AT_ONCE) {
            let some =
                some.iter().map(|Range { start, end }| format!("offset >= {start} AND offset < {end}"));
            let offsets = some.collect::<Vec<_>>().join(" OR ");
            self.alter(table, &format!("DELETE WHERE partition = {partition} AND ({offsets})")).await?;
        }
        Ok(())
    }

    /// Zero without retention.
    pub(crate) async fn horizon(&self, partition: i32) -> Result<Horizon> {
        Ok(self.horizons().await?.remove(&partition).unwrap_or_default())
    }

    pub(crate) async fn horizons(&self) -> Result<BTreeMap<i32, Horizon>> {
        let sql = "SELECT partition, max(h.kept_from), max(h.expired_to) FROM {database}.horizons AS h GROUP BY partition";
        let found: Vec<(u16, u64, u64)> = self.fetch_all(sql, ANSWER).await?;
        let horizon =
            |(partition, kept_from, expired_to)| (i32::from(partition), Horizon { kept_from, expired_to });
        Ok(found.into_iter().map(horizon).collect())
    }

    pub(crate) async fn set_horizon(&self, partition: i32, horizon: Horizon) -> Result<()> {
        let sql = "INSERT INTO {own}.horizons (partition, kept_from, expired_to) \
                   VALUES ({partition:UInt16}, {kept_from:UInt64}, {expired_to:UInt64})";
        let insert = self.client.query(&sql.replace("{own}", &cluster::own(&self.config, self.generation)));
        let insert = insert
            .param("partition", partition)
            .param("kept_from", horizon.kept_from)
            .param("expired_to", horizon.expired_to);
        Ok(within(ANSWER, insert.execute()).await?)
    }

    /// Runs a mutation on every server and waits until it is done.
    pub(crate) async fn alter(&self, table: &str, mutation: &str) -> Result<()> {
        let sql =
            format!("ALTER TABLE {} {mutation}", cluster::mutable(&self.config, self.generation, table));
        let on_each = self.each.iter().map(|server| {
            let alter = server.query(&sql).with_setting("mutations_sync", "2");
            within(MUTATION, async { alter.execute().await })
        });
        try_join_all(on_each).await?;
        Ok(())
    }

    pub(crate) async fn mutations(&self) -> Result<u64> {
        let sql = "SELECT count() FROM system.mutations WHERE database IN {databases:Array(String)} AND NOT is_done";
        let databases = cluster::databases(&self.config, self.generation);
        let mut count = 0;
        for server in &self.each {
            let query = server.query(sql).param("databases", &databases);
            count += within(ANSWER, query.fetch_one::<u64>()).await?;
        }
        Ok(count)
    }

    pub(crate) async fn fetch_all<T>(&self, sql: &str, limit: Duration) -> Result<Vec<T>>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        Ok(within(limit, self.query(sql).fetch_all()).await?)
    }

    pub(crate) fn servers(&self) -> Servers {
        Servers::new(&self.config, self.generation)
    }
}
