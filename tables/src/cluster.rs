//! The same DDL for a ClickHouse cluster: every file is written for one server, and rewritten here.
//!
//! A table that names a session is sharded by it, so that a session's rows share a server: `ledger` becomes
//! `ledger_local` (Replicated...) on every server and `ledger` (Distributed) over them; who reads or
//! writes `ledger` notices nothing. A table without a session (the dictionary of features, positions) is
//! small and kept whole on every server. Views and materialized views stay as they are, on every server.

use anyhow::{Context, bail};
use infra::database::ClickHouseConfig;

use crate::ddl;

/// What a rendered table is called on each server.
const LOCAL: &str = "_local";

/// How long ClickHouse Keeper remembers the tokens of inserts, in seconds: ten years, so that it is the
/// number of tokens alone which counts, as on one server.
const TOKENS_SECONDS: u32 = 315_360_000;

/// A statement of the DDL, names filled in, as the statements that do it here.
///
/// # Errors
/// A statement that has no form on a cluster.
pub(crate) fn spread(config: &ClickHouseConfig, statement: String) -> anyhow::Result<Vec<String>> {
    match &config.cluster {
        Some(cluster) => rewrite(&statement, cluster),
        None => Ok(vec![statement]),
    }
}

/// What a table must be called in `ALTER TABLE ... UPDATE` or `DELETE`, which a distributed table
/// does not take: `eye_g1.ledger`, or `eye_g1.ledger_local ON CLUSTER 'name'`.
pub fn mutable(config: &ClickHouseConfig, database: &str, table: &str) -> String {
    format!("{database}.{}{}", local(config, table), config.on_cluster())
}

/// The table that has the rows: of a cluster's distributed table, the one on each server. Others have them themselves.
pub fn local(config: &ClickHouseConfig, table: &str) -> String {
    let is_distributed = config.cluster.is_some() && is_sharded(table).unwrap_or(false);
    format!("{table}{}", if is_distributed { LOCAL } else { "" })
}

/// Rewrites one statement, names already filled in, into those that make the same thing on `cluster`.
///
/// # Errors
/// A statement of a kind that is not known here: it needs a decision, not a guess.
fn rewrite(statement: &str, cluster: &str) -> anyhow::Result<Vec<String>> {
    let (comment, sql) = split_comment(statement);
    let on_cluster = format!(" ON CLUSTER '{cluster}'");
    for create in [
        "CREATE DATABASE IF NOT EXISTS ",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS ",
        "CREATE OR REPLACE VIEW ",
    ] {
        if let Some(rest) = sql.strip_prefix(create) {
            let (name, body) = split_name(rest);
            return Ok(vec![format!("{comment}{create}{name}{on_cluster}{body}")]);
        }
    }
    if let Some(rest) = sql.strip_prefix("ALTER TABLE ") {
        let (name, change) = split_name(rest);
        let alter = |name: &str| format!("{comment}ALTER TABLE {name}{on_cluster}{change}");
        let (_, table) = name.split_once('.').context("a table without its database")?;
        if !is_sharded(table)? {
            return Ok(vec![alter(name)]);
        }
        let local = alter(&format!("{name}{LOCAL}"));
        // The distributed table has columns, and nothing else that could change.
        let columns = change.trim_start().starts_with("MODIFY COLUMN");
        return Ok(if columns { vec![local, alter(name)] } else { vec![local] });
    }
    let Some(rest) = sql.strip_prefix("CREATE TABLE IF NOT EXISTS ") else {
        bail!("no form for a cluster is known of: {}", sql.lines().next().unwrap_or_default());
    };
    let (name, body) = split_name(rest);
    let (database, table) = name.split_once('.').context("a table without its database")?;
    let (columns, engine) = body.split_once("ENGINE = ").context("a table without an engine")?;
    let create = |name: &str| format!("CREATE TABLE IF NOT EXISTS {name}{on_cluster}");
    if engine.trim() == "Null" {
        return Ok(vec![format!("{comment}{}{body}", create(name))]);
    }
    if !names_a_session(columns) {
        let engine =
            replicated(engine, &format!("/clickhouse/tables/all/{database}/{table}"), "{shard}-{replica}")?;
        return Ok(vec![format!("{comment}{}{columns}ENGINE = {engine}", create(name))]);
    }
    let engine =
        replicated(engine, &format!("/clickhouse/tables/{{shard}}/{database}/{table}"), "{replica}")?;
    let local = format!("{name}{LOCAL}");
    let distributed =
        format!("Distributed('{cluster}', '{database}', '{table}{LOCAL}', cityHash64(session_id))");
    Ok(vec![
        format!("{comment}{}{columns}ENGINE = {engine}", create(&local)),
        format!("{} AS {local}\nENGINE = {distributed}\n", create(name)),
    ])
}

fn names_a_session(columns: &str) -> bool {
    columns.contains("session_id UUID")
}

/// Whether `table` is distributed on a cluster.
fn is_sharded(table: &str) -> anyhow::Result<bool> {
    let sql = ddl::of(table).with_context(|| format!("no file creates the table {table}"))?;
    let (columns, engine) = sql.split_once("ENGINE = ").context("a table without an engine")?;
    Ok(names_a_session(columns) && engine.trim() != "Null")
}

/// `MergeTree ...` as `ReplicatedMergeTree('path', 'replica') ...`, its window of tokens kept in Keeper.
fn replicated(engine: &str, path: &str, replica: &str) -> anyhow::Result<String> {
    let end = engine.find("MergeTree").context("neither Null nor a MergeTree")? + "MergeTree".len();
    let (family, rest) = engine.split_at(end);
    let (arguments, rest) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((arguments, rest)) => (format!(", {arguments}"), rest),
        None => (String::new(), rest),
    };
    let rest = rest.replace(
        "non_replicated_deduplication_window",
        &format!(
            "replicated_deduplication_window_seconds = {TOKENS_SECONDS}, replicated_deduplication_window"
        ),
    );
    Ok(format!("Replicated{family}('{path}', '{replica}'{arguments}){rest}"))
}

/// (the block comment over a statement, the statement)
fn split_comment(text: &str) -> (&str, &str) {
    let start =
        match text.trim_start().strip_prefix("/*").and_then(|rest| rest.find("*/").map(|at| (rest, at))) {
            Some((rest, at)) => text.len() - rest.len() + at + 2,
            None => 0,
        };
    let sql = text[start..].trim_start();
    text.split_at(text.len() - sql.len())
}

/// (`database.table`, all after it)
fn split_name(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_a_cluster_is_changed_where_its_rows_are() {
        let one = ClickHouseConfig::default();
        let many = ClickHouseConfig { cluster: Some("c".into()), ..one.clone() };
        for table in ["ledger", "events", "rejections", "sequences"] {
            assert_eq!(mutable(&many, "eye_g2", table), format!("eye_g2.{table}_local ON CLUSTER 'c'"));
        }
        // Names no session, so it is whole on every server.
        assert_eq!(mutable(&many, "eye_g2", "erasures"), "eye_g2.erasures ON CLUSTER 'c'");
        assert_eq!(mutable(&one, "eye_g1", "ledger"), "eye_g1.ledger");
    }

    fn check(statement: &str, expected: &[&str]) {
        assert_eq!(rewrite(statement, "c").unwrap(), expected);
    }

    #[test]
    fn a_table_of_sessions_is_sharded_and_replicated() {
        check(
            "/* Why. */\nCREATE TABLE IF NOT EXISTS eye_g1.t\n(\n    session_id UUID,\n    n UInt64\n)\n\
             ENGINE = MergeTree\nORDER BY n\nSETTINGS non_replicated_deduplication_window = 5\n",
            &[
                "/* Why. */\nCREATE TABLE IF NOT EXISTS eye_g1.t_local ON CLUSTER 'c'\n(\n    session_id UUID,\n    \
                 n UInt64\n)\nENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/eye_g1/t', '{replica}')\n\
                 ORDER BY n\nSETTINGS replicated_deduplication_window_seconds = 315360000, \
                 replicated_deduplication_window = 5\n",
                "CREATE TABLE IF NOT EXISTS eye_g1.t ON CLUSTER 'c' AS eye_g1.t_local\n\
                 ENGINE = Distributed('c', 'eye_g1', 't_local', cityHash64(session_id))\n",
            ],
        );
    }

    #[test]
    fn a_table_without_sessions_is_whole_on_every_server() {
        check(
            "CREATE TABLE IF NOT EXISTS eye_g1.t (n UInt64) ENGINE = ReplacingMergeTree(n) ORDER BY n",
            &["CREATE TABLE IF NOT EXISTS eye_g1.t ON CLUSTER 'c' (n UInt64) ENGINE = \
               ReplicatedReplacingMergeTree('/clickhouse/tables/all/eye_g1/t', '{shard}-{replica}', n) ORDER BY n"],
        );
    }

    #[test]
    fn what_keeps_nothing_is_only_spread() {
        check(
            "CREATE TABLE IF NOT EXISTS eye_g1.landing (n UInt64, session_id UUID)\nENGINE = Null\n",
            &[
                "CREATE TABLE IF NOT EXISTS eye_g1.landing ON CLUSTER 'c' (n UInt64, session_id UUID)\nENGINE = Null\n",
            ],
        );
        check(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS eye_g1.v TO eye_g1.t AS\nSELECT 1",
            &["CREATE MATERIALIZED VIEW IF NOT EXISTS eye_g1.v ON CLUSTER 'c' TO eye_g1.t AS\nSELECT 1"],
        );
        check(
            "CREATE OR REPLACE VIEW eye.v AS\nSELECT 1",
            &["CREATE OR REPLACE VIEW eye.v ON CLUSTER 'c' AS\nSELECT 1"],
        );
        check("CREATE DATABASE IF NOT EXISTS eye", &["CREATE DATABASE IF NOT EXISTS eye ON CLUSTER 'c'"]);
    }

    #[test]
    fn a_change_reaches_every_form_of_its_table() {
        check(
            "ALTER TABLE eye_g1.landing\n    MODIFY COLUMN n UInt64",
            &["ALTER TABLE eye_g1.landing ON CLUSTER 'c'\n    MODIFY COLUMN n UInt64"],
        );
        check(
            "/* Why. */\nALTER TABLE eye_g1.ledger MODIFY COLUMN n UInt64",
            &[
                "/* Why. */\nALTER TABLE eye_g1.ledger_local ON CLUSTER 'c' MODIFY COLUMN n UInt64",
                "/* Why. */\nALTER TABLE eye_g1.ledger ON CLUSTER 'c' MODIFY COLUMN n UInt64",
            ],
        );
        check(
            "ALTER TABLE eye_g1.ledger DROP PROJECTION IF EXISTS p",
            &["ALTER TABLE eye_g1.ledger_local ON CLUSTER 'c' DROP PROJECTION IF EXISTS p"],
        );
    }

    #[test]
    fn an_unknown_statement_is_refused() {
        assert!(rewrite("OPTIMIZE TABLE eye_g1.ledger", "c").is_err());
        assert!(rewrite("ALTER TABLE eye_g1.unheard_of ADD COLUMN n UInt64", "c").is_err());
    }
}
