//! The tables of one generation as the projector uses them: one insert, a few reads, one delete.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::{Client, Compression, Row};
use futures::future::try_join_all;
use infra::database::{ClickHouseConfig, within};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tables::verdict::{EVENTS, LEDGER, REJECTIONS};
use tables::{Verdict, account, cluster};

use crate::error::{Error, Result};
use crate::judge::erasures::Hash;
use crate::judge::projection::Past;
use crate::servers::Servers;

/// Only a block is inserted all or nothing. ClickHouse takes a block of the format Native as it comes (a test of
/// `local-stack` shows it); to be sure a chunk stays below what it would cut other formats into: so many rows, 256 MiB.
pub(crate) const MAX_BLOCK_ROWS: usize = 1_048_449;

/// A piece of a chunk that is not taken for so long, and all of them for `ANSWER`, must not hold up a partition for
/// longer; what became of the insert is then unclear.
const SEND: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(120);
/// Who asks whether ClickHouse is there does not wait for long.
const PROBE: Duration = Duration::from_secs(2);
/// Ranges of one delete.
const DELETED_AT_ONCE: usize = 500;
/// A mutation rewrites parts; what looks for its rows reads whole tables.
pub(crate) const MUTATION: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub(crate) struct Database {
    client: Client,
    /// Of each server by itself: connections are kept.
    each: Vec<Client>,
    config: ClickHouseConfig,
    generation: u32,
    pub name: String,
    pub topic: String,
}

/// The number of a verdict and the version of the schema that judged.
pub(crate) type Claim = (u8, u16);

/// The contiguous account that the ledger gives of a partition, by its cheap projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub(crate) struct Extent {
    pub rows: u64,
    pub first: u64,
    pub last: u64,
    /// Of all offsets, modulo 2^64.
    pub sum: u64,
    /// Milliseconds.
    pub log_time: i64,
}

/// See `tables/ddl/horizons.sql`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Horizon {
    pub kept_from: u64,
    pub expired_to: u64,
}

impl Extent {
    /// No gap and no overlap: as many rows as offsets, and they add up to what the offsets add up to.
    pub(crate) fn is_contiguous(&self) -> bool {
        account::is_contiguous(self.rows, self.first, self.last, self.sum)
    }
}

impl Database {
    pub(crate) fn new(clickhouse: &ClickHouseConfig, generation: u32, topic: &str) -> Self {
        // Compressing costs the sender more than it saves on a local network.
        let client = clickhouse.client().with_compression(Compression::None);
        let name = clickhouse.generation(generation);
        let (each, config) = (clickhouse.clients(), clickhouse.clone());
        Self { client, each, config, generation, name, topic: topic.into() }
    }

    /// What an insert of `range` is called; it is its deduplication token.
    pub(crate) fn insert_id(&self, partition: i32, range: &Range<u64>) -> String {
        format!("{}:{}:{partition}:{}-{}", self.name, self.topic, range.start, range.end)
    }

    /// The query id of the insert `id`. ClickHouse refuses a second statement under an id whoever runs the first:
    /// an analyst who could tell the id from what the tables show could keep the insert out. So it needs the password,
    /// which all projectors have.
    fn query_id(&self, id: &str) -> String {
        let secret = Sha256::new().chain_update(self.config.password()).chain_update(id).finalize();
        format!("{id}:{}", &format!("{secret:x}")[..32])
    }

    /// Inserts a block of `landing`, in the format Native, in one statement.
    ///
    /// # Errors
    /// [`Error::Running`] if a statement with this id is at work; after any other error it is unclear what
    /// was inserted.
    pub(crate) async fn insert(
        &self,
        id: &str,
        token: &str,
        block: impl Iterator<Item = Bytes>,
    ) -> Result<()> {
        let mut insert = self
            .client
            .insert_formatted_with(format!("INSERT INTO {}.landing FORMAT Native", self.name))
            .with_setting("query_id", self.query_id(id))
            .with_setting("insert_deduplication_token", token)
            .with_setting("insert_deduplicate", "1")
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            // Since 26 the default is asynchronous, and the answer no proof.
            .with_setting("async_insert", "0")
            .with_setting("wait_end_of_query", "1")
            .with_setting("max_insert_block_size", MAX_BLOCK_ROWS.to_string())
            .with_setting("min_insert_block_size_rows", MAX_BLOCK_ROWS.to_string())
            .with_setting("min_insert_block_size_bytes", (1u64 << 30).to_string())
            .with_setting("max_partitions_per_insert_block", "0")
            // The views only pick columns: the older analysis does the same in two thirds of the time.
            .with_setting("enable_analyzer", "0")
            .with_timeouts(Some(SEND), Some(ANSWER));
        let sending = async {
            for piece in block {
                insert.send(piece).await?;
            }
            Ok(())
        };
        let sent = match within(ANSWER, sending).await {
            Ok(()) => insert.end().await,
            Err(error) => Err(error),
        };
        sent.map_err(Error::from_insert)
    }

    /// Whether ClickHouse answers.
    pub(crate) async fn answers(&self) -> Result<()> {
        let asked = self.client.query("SELECT 1").fetch_one::<u8>();
        within(PROBE, async { asked.await.map_err(Error::from) }).await.map(|_| ())
    }

    /// Whether the insert `id` is at work. ClickHouse refuses a second statement with its query id, whatever it says.
    pub(crate) async fn is_running(&self, id: &str) -> Result<bool> {
        let query_id = self.query_id(id);
        let probe = self.client.query("SELECT 1").with_setting("query_id", &query_id).fetch_one::<u8>();
        match within(ANSWER, async { probe.await.map_err(Error::from_insert) }).await {
            Ok(_) => {}
            Err(Error::Running) => return Ok(true),
            Err(error) => return Err(error),
        }
        // The shards' parts of it may outlive the one that was asked.
        for shard in self.each.iter().skip(1) {
            let sql = "SELECT count() FROM system.processes WHERE initial_query_id = {id:String}";
            let parts = shard.query(sql).param("id", &query_id).fetch_one::<u64>();
            if within(ANSWER, parts).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads rows of `WIDTH` bytes, RowBinary, of a part of a partition: ten times faster than as structs.
    pub(crate) async fn read<const WIDTH: usize>(
        &self,
        sql: &str,
        partition: i32,
        range: &Range<u64>,
        mut row: impl FnMut(&[u8; WIDTH]),
    ) -> Result<()> {
        let mut cursor = self
            .client
            .query(&sql.replace("{database}", &self.name))
            .param("partition", partition)
            .param("from", range.start)
            .param("to", range.end)
            .fetch_bytes("RowBinary")?;
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

    /// What the ledger holds of a partition.
    pub(crate) async fn extent(&self, partition: i32) -> Result<Extent> {
        let sql = include_str!("database/extent.sql").replace("{database}", &self.name);
        let query = self.client.query(&sql).param("partition", partition);
        Ok(within(ANSWER, query.fetch_one()).await?)
    }

    /// The first offset at or after `from` that the ledger lacks.
    pub(crate) async fn first_gap(&self, partition: i32, from: u64) -> Result<u64> {
        let sql = include_str!("database/first_gap.sql").replace("{database}", &self.name);
        let query = self.client.query(&sql).param("partition", partition).param("from", from);
        Ok(within(ANSWER, query.fetch_one()).await?)
    }

    /// The log time of the last row before `offset`, the largest until there; 0 if there is none.
    pub(crate) async fn log_time_before(&self, partition: i32, offset: u64) -> Result<i64> {
        let sql = "SELECT toUnixTimestamp64Milli(max(log_time)) FROM {database}.ledger \
                   WHERE partition = {partition:UInt16} AND offset = {offset:UInt64}";
        let query = self.client.query(&sql.replace("{database}", &self.name));
        let query = query.param("partition", partition).param("offset", offset.saturating_sub(1));
        Ok(within(ANSWER, query.fetch_one()).await?)
    }

    /// What the tables say of the offsets of `range`. Where the ledger has no row, or several that differ, the row of
    /// `events` or `rejections` decides; what they do not decide is left out.
    pub(crate) async fn past(&self, partition: i32, range: &Range<u64>) -> Result<BTreeMap<u64, Past>> {
        let mut rows: Vec<(u64, bool, Claim)> = Vec::new();
        for (target, table) in [(LEDGER, "ledger"), (EVENTS, "events"), (REJECTIONS, "rejections")] {
            let see = |offset, claim| rows.push((offset, target == LEDGER, claim));
            self.claims(target, table, partition, range, see).await?;
        }
        rows.sort_unstable();
        rows.dedup();
        let past = |rows: &[(u64, bool, Claim)]| {
            let (others, ledger) = rows.split_at(rows.partition_point(|(_, is_ledger, _)| !is_ledger));
            let agrees = |row: &&(u64, bool, Claim)| others.iter().any(|other| other.2 == row.2);
            let (offset, _, (verdict, schema_version)) = match (ledger, others) {
                ([one], _) | ([], [one]) => *one,
                _ => {
                    let mut agreeing = ledger.iter().filter(agrees);
                    agreeing.next().filter(|_| agreeing.next().is_none()).copied()?
                }
            };
            Some((
                offset,
                Past { verdict: Verdict::of(verdict)?, schema_version, is_lost: ledger.is_empty() },
            ))
        };
        Ok(rows.chunk_by(|one, next| one.0 == next.0).filter_map(past).collect())
    }

    /// For each row of a target in `range` its offset, and what it claims of it.
    pub(crate) async fn claims(
        &self,
        target: u8,
        table: &str,
        partition: i32,
        range: &Range<u64>,
        mut see: impl FnMut(u64, Claim),
    ) -> Result<()> {
        let said = match target {
            LEDGER => "toInt8(verdict), schema_version".to_owned(),
            EVENTS => format!("toInt8({}), schema_version", Verdict::Accepted as u8),
            REJECTIONS => format!("toInt8({}), schema_version", Verdict::Rejected as u8),
            _ => format!("toInt8({}), toUInt16(0)", Verdict::Erasure as u8),
        };
        let sql = format!(
            "SELECT offset, {said} FROM {{database}}.{table} \
             WHERE partition = {{partition:UInt16}} AND offset >= {{from:UInt64}} AND offset < {{to:UInt64}}"
        );
        let row = |row: &[u8; 11]| {
            let [offset @ .., verdict, low, high] = *row;
            see(u64::from_le_bytes(offset), (verdict, u16::from_le_bytes([low, high])));
        };
        self.read(&sql, partition, range, row).await
    }

    /// Leaves one row of each of these offsets in a target. Rows are named by their places in parts: one that was merged
    /// meanwhile is not there any more, and stays.
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

    /// Deletes the rows of these ranges, and of nothing between them, from one target, and waits until they are gone.
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

    /// Of every partition that has one.
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

    /// Changes what is there already, on every server, and waits until it is done.
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

    /// The parts of a table that have no projections: the number of the server, and what no mutation changes of the name.
    pub(crate) async fn bare_parts(&self, table: &str) -> Result<BTreeSet<(usize, String)>> {
        let sql = format!(
            "SELECT concat(partition_id, '_', min_block_number, '_', max_block_number) FROM {} \
             WHERE active AND database = {{database:String}} AND table = {{table:String}} \
             AND rows > 0 AND empty(projections)",
            self.config.of_all_servers("parts")
        );
        let holder = cluster::holder(&self.config, &self.name, table);
        let mut bare = BTreeSet::new();
        for (number, server) in self.each.iter().enumerate() {
            let query = server.query(&sql).param("database", &holder).param("table", table);
            // A server that does not answer is looked at another time.
            let parts = query.with_setting("skip_unavailable_shards", "1").fetch_all::<String>();
            bare.extend(within(ANSWER, parts).await?.into_iter().map(|part| (number, part)));
        }
        Ok(bare)
    }

    /// How many mutations are at work.
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

    /// The sessions that are to be erased, by what is in the tables.
    pub(crate) async fn erasures(&self) -> Result<Vec<Hash>> {
        #[derive(Row, Deserialize)]
        struct Erasure {
            session: Hash,
        }
        let sql = "SELECT DISTINCT session FROM {database}.erasures";
        let found: Vec<Erasure> = self.fetch_all(sql, ANSWER).await?;
        Ok(found.into_iter().map(|erasure| erasure.session).collect())
    }

    pub(crate) async fn fetch_all<T>(&self, sql: &str, limit: Duration) -> Result<Vec<T>>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let query = self.client.query(&sql.replace("{database}", &self.name));
        Ok(within(limit, query.fetch_all()).await?)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// For what is computed on each server.
    pub(crate) fn servers(&self) -> Servers {
        Servers::new(&self.config, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn database(address: &str) -> Database {
        let config = ClickHouseConfig { url: format!("http://{address}"), ..ClickHouseConfig::default() };
        Database::new(&config, 1, "log")
    }

    #[tokio::test]
    async fn an_insert_that_reaches_nobody_says_so() {
        let pieces = ["one", "two", "three"].map(|piece| Bytes::from(piece.repeat(100_000)));
        let error = database("127.0.0.1:1").insert("id", "token", pieces.into_iter()).await.unwrap_err();
        let error = format!("{:#}", anyhow::Error::from(error));
        assert!(error.contains("Connect"), "{error}");
    }

    #[tokio::test]
    async fn an_answer_before_the_last_piece_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 100]).await.unwrap();
            let text = "Code: 216. DB::Exception: a statement with this id runs";
            let head =
                format!("HTTP/1.1 500 Error\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
            stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // Not closed: what is left unread would reset it, and the answer could be lost.
            stream
        });
        let pieces = std::iter::repeat_n(Bytes::from(vec![0; 1 << 20]), 64);
        let answer = database(&address).insert("id", "token", pieces).await;
        assert!(matches!(answer, Err(Error::Running)), "{answer:?}");
        drop(server.await);
    }
}
