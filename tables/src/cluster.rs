//! The DDL for several ClickHouse servers. Each file is written for one server and rewritten here.
//!
//! A table's rows are in the database `eye_gN_local` of each server. A Distributed table of the same name in `eye_gN`,
//! on each server, shows the rows of all servers, so readers and writers use `eye_gN.ledger` as on one server. Tables
//! without rows (`landing`, views) are in `eye_gN` on each server. There are two forms:
//! - *Shards*: each server is addressed by its own URL and has plain tables. A table that [`KEYS`] does not name
//!   belongs to no shard (the dictionary of features, positions): its rows are on the first server, or each server has
//!   its own. A lost server is filled from the log.
//! - *Replicated*: `ON CLUSTER` and Replicated*MergeTree, by ClickHouse Keeper; one URL for all servers. A table that
//!   [`KEYS`] does not name is whole on every server, in `eye_gN`.

use anyhow::{Context, bail};
use infra::database::ClickHouseConfig;

use crate::ddl;

const BY_SESSION: &str = "cityHash64(session_id)";

/// The tables whose rows are spread over the shards, and the key: the rows of a session share a server.
const KEYS: [(&str, &str); 5] = [
    ("ledger", BY_SESSION),
    ("events", BY_SESSION),
    ("rejections", BY_SESSION),
    ("sequences", BY_SESSION),
    // Its rows name no session.
    ("erasures", "cityHash64(partition, offset)"),
];

/// How many seconds ClickHouse Keeper remembers the tokens of inserts: ten years, so that only the number of tokens
/// limits it, as on one server.
const TOKENS_SECONDS: u32 = 315_360_000;

/// The database with a server's own tables; on one server it is the generation's.
pub fn own(config: &ClickHouseConfig, generation: u32) -> String {
    let database = config.generation(generation);
    if config.nodes.is_empty() { database } else { local(&database) }
}

/// A table's name in `ALTER TABLE`, `DELETE` and `TRUNCATE`, which a Distributed table does not take: `eye_g1.ledger`,
/// on each shard `eye_g1_local.ledger`, or `eye_g1_local.ledger ON CLUSTER 'name'`.
pub fn mutable(config: &ClickHouseConfig, generation: u32, table: &str) -> String {
    let database = holder(config, &config.generation(generation), table);
    format!("{database}.{table}{}", config.on_cluster())
}

pub fn databases(config: &ClickHouseConfig, generation: u32) -> Vec<String> {
    let database = config.generation(generation);
    let local = config.cluster.is_some().then(|| local(&database));
    std::iter::once(database).chain(local).collect()
}

/// A table of all servers' `system.mutations`, which the reader may not query otherwise.
pub(crate) fn mutations(config: &ClickHouseConfig, generation: u32) -> Option<String> {
    let cluster = config.cluster.as_ref()?;
    Some(format!(
        "CREATE TABLE IF NOT EXISTS {}.mutations{} (database String, table String, mutation_id String, \
         command String, is_done UInt8) ENGINE = Distributed('{cluster}', 'system', 'mutations')",
        config.generation(generation),
        config.on_cluster()
    ))
}

/// The database that holds a table's rows.
pub fn holder(config: &ClickHouseConfig, database: &str, table: &str) -> String {
    let is_apart = config.cluster.is_some() && (!config.nodes.is_empty() || key(table).is_some());
    if is_apart { local(database) } else { database.to_owned() }
}

fn local(database: &str) -> String {
    format!("{database}_local")
}

fn key(table: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|(name, _)| *name == table).map(|(_, key)| key)
}

/// Turns a statement of the DDL, names filled in, into the statements to run on each server.
///
/// # Errors
/// A statement of an unknown kind: it needs a decision, not a guess.
pub(crate) fn spread(config: &ClickHouseConfig, statement: String) -> anyhow::Result<Vec<String>> {
    let Some(cluster) = &config.cluster else { return Ok(vec![statement]) };
    let (comment, sql) = split_comment(&statement);
    let on_cluster = config.on_cluster();
    for create in [
        "CREATE DATABASE IF NOT EXISTS ",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS ",
        "CREATE OR REPLACE VIEW ",
    ] {
        if let Some(rest) = sql.strip_prefix(create) {
            let (name, body) = split_name(rest);
            let mut statements = vec![format!("{comment}{create}{name}{on_cluster}{body}")];
            // A view of tables that each shard has for itself.
            if let Some((database, view)) = name.split_once('.')
                && !config.nodes.is_empty()
                && ddl::of(view).is_some_and(|made| made.contains(create))
            {
                statements.push(sql.replace(&format!("{database}."), &format!("{}.", local(database))));
            }
            return Ok(statements);
        }
    }
    if let Some(rest) = sql.strip_prefix("ALTER TABLE ") {
        let (name, change) = split_name(rest);
        let (database, table) = split_table(name)?;
        let made = ddl::of(table).with_context(|| format!("no file creates the table {table}"))?;
        let holder = if keeps_nothing(made) { database.to_owned() } else { holder(config, database, table) };
        let alter = |database: &str| format!("{comment}ALTER TABLE {database}.{table}{on_cluster}{change}");
        // A Distributed table has only columns that could change.
        let columns = change.trim_start().starts_with("MODIFY COLUMN");
        return Ok(match holder == database || !columns {
            true => vec![alter(&holder)],
            false => vec![alter(&holder), alter(database)],
        });
    }
    let Some(rest) = sql.strip_prefix("CREATE TABLE IF NOT EXISTS ") else {
        bail!("no cluster form is known for this statement: {}", sql.lines().next().unwrap_or_default());
    };
    let (name, body) = split_name(rest);
    let (database, table) = split_table(name)?;
    let create = |database: &str| format!("CREATE TABLE IF NOT EXISTS {database}.{table}{on_cluster}");
    if keeps_nothing(body) {
        return Ok(vec![format!("{comment}{}{body}", create(database))]);
    }
    let holder = holder(config, database, table);
    let body = match config.nodes.is_empty() {
        true => replicated(body, database, table)?,
        false => body.to_owned(),
    };
    let mut statements = vec![format!("{comment}{}{body}", create(&holder))];
    if holder != database {
        let key = key(table).map(|key| format!(", {key}")).unwrap_or_default();
        statements.push(format!(
            "{} AS {holder}.{table}\nENGINE = Distributed('{cluster}', '{holder}', '{table}'{key})\n",
            create(database)
        ));
    }
    Ok(statements)
}

fn keeps_nothing(create: &str) -> bool {
    create.split_once("ENGINE = ").is_some_and(|(_, engine)| engine.trim() == "Null")
}

/// Makes a table `ReplicatedMergeTree('path', 'replica')`, with its token window in Keeper.
fn replicated(body: &str, database: &str, table: &str) -> anyhow::Result<String> {
    let (columns, engine) = body.split_once("ENGINE = ").context("a table without an engine")?;
    let (path, replica) =
        if key(table).is_some() { ("{shard}", "{replica}") } else { ("all", "{shard}-{replica}") };
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
    Ok(format!(
        "{columns}ENGINE = Replicated{family}('/clickhouse/tables/{path}/{database}/{table}', '{replica}'{arguments}){rest}"
    ))
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

/// (`database`, `table`)
fn split_table(name: &str) -> anyhow::Result<(&str, &str)> {
    name.split_once('.').context("a table without its database")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicated_on_c() -> ClickHouseConfig {
        ClickHouseConfig { cluster: Some("c".into()), ..ClickHouseConfig::default() }
    }

    fn shards_of_c() -> ClickHouseConfig {
        ClickHouseConfig { nodes: vec!["http://a:8123".into(), "http://b:8123".into()], ..replicated_on_c() }
    }

    #[test]
    fn a_table_of_a_cluster_is_changed_where_its_rows_are() {
        let (one, replicated, shards) = (ClickHouseConfig::default(), replicated_on_c(), shards_of_c());
        for (table, _) in KEYS {
            assert_eq!(mutable(&replicated, 2, table), format!("eye_g2_local.{table} ON CLUSTER 'c'"));
            assert_eq!(mutable(&shards, 2, table), format!("eye_g2_local.{table}"));
        }
        assert_eq!(mutable(&replicated, 2, "features"), "eye_g2.features ON CLUSTER 'c'");
        assert_eq!(mutable(&shards, 2, "features"), "eye_g2_local.features");
        assert_eq!(mutable(&one, 1, "ledger"), "eye_g1.ledger");
    }

    #[test]
    fn every_table_with_a_session_is_sharded_by_it() {
        for (table, _) in ddl::TABLES {
            let sql = ddl::of(table).unwrap();
            let has_session = sql.contains("session_id UUID") && !keeps_nothing(sql);
            assert_eq!(key(table) == Some(BY_SESSION), has_session, "{table}");
        }
    }

    fn check(config: &ClickHouseConfig, statement: &str, expected: &[&str]) {
        assert_eq!(spread(config, statement.into()).unwrap(), expected);
    }

    const LEDGER: &str = "/* Why. */\nCREATE TABLE IF NOT EXISTS eye_g1.ledger\n(\n    session_id UUID,\n    n UInt64\n)\n\
        ENGINE = MergeTree\nORDER BY n\nSETTINGS non_replicated_deduplication_window = 5\n";

    #[test]
    fn a_table_of_sessions_is_sharded_and_replicated() {
        check(
            &replicated_on_c(),
            LEDGER,
            &[
                "/* Why. */\nCREATE TABLE IF NOT EXISTS eye_g1_local.ledger ON CLUSTER 'c'\n(\n    session_id UUID,\n    \
                 n UInt64\n)\nENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/eye_g1/ledger', '{replica}')\n\
                 ORDER BY n\nSETTINGS replicated_deduplication_window_seconds = 315360000, \
                 replicated_deduplication_window = 5\n",
                "CREATE TABLE IF NOT EXISTS eye_g1.ledger ON CLUSTER 'c' AS eye_g1_local.ledger\n\
                 ENGINE = Distributed('c', 'eye_g1_local', 'ledger', cityHash64(session_id))\n",
            ],
        );
    }

    #[test]
    fn a_shard_has_the_tables_of_one_server() {
        check(
            &shards_of_c(),
            LEDGER,
            &[
                &LEDGER.replace("eye_g1", "eye_g1_local"),
                "CREATE TABLE IF NOT EXISTS eye_g1.ledger AS eye_g1_local.ledger\n\
                 ENGINE = Distributed('c', 'eye_g1_local', 'ledger', cityHash64(session_id))\n",
            ],
        );
    }

    #[test]
    fn a_view_of_a_shards_own_tables_is_beside_them() {
        let view = "CREATE OR REPLACE VIEW eye_g1.usage_epoch AS SELECT 1 FROM eye_g1.usage_epochs";
        check(&replicated_on_c(), view, &[&view.replace("epoch AS", "epoch ON CLUSTER 'c' AS")]);
        check(&shards_of_c(), view, &[view, &view.replace("eye_g1", "eye_g1_local")]);
    }

    const FEATURES: &str =
        "CREATE TABLE IF NOT EXISTS eye_g1.features (n UInt64) ENGINE = ReplacingMergeTree(n) ORDER BY n";

    #[test]
    fn a_table_of_no_shard_is_whole_on_every_server_or_on_the_first() {
        check(
            &replicated_on_c(),
            FEATURES,
            &["CREATE TABLE IF NOT EXISTS eye_g1.features ON CLUSTER 'c' (n UInt64) ENGINE = \
               ReplicatedReplacingMergeTree('/clickhouse/tables/all/eye_g1/features', '{shard}-{replica}', n) ORDER BY n"],
        );
        check(
            &shards_of_c(),
            FEATURES,
            &[
                &FEATURES.replace("eye_g1", "eye_g1_local"),
                "CREATE TABLE IF NOT EXISTS eye_g1.features AS eye_g1_local.features\n\
                 ENGINE = Distributed('c', 'eye_g1_local', 'features')\n",
            ],
        );
    }

    #[test]
    fn a_table_without_rows_is_on_every_server() {
        for (create, rest) in [
            ("CREATE TABLE IF NOT EXISTS eye_g1.landing", " (n UInt64, session_id UUID)\nENGINE = Null\n"),
            ("CREATE MATERIALIZED VIEW IF NOT EXISTS eye_g1.v", " TO eye_g1.t AS\nSELECT 1"),
            ("CREATE OR REPLACE VIEW eye.v", " AS\nSELECT 1"),
            ("CREATE DATABASE IF NOT EXISTS eye", ""),
        ] {
            let statement = format!("{create}{rest}");
            check(&replicated_on_c(), &statement, &[&format!("{create} ON CLUSTER 'c'{rest}")]);
            check(&shards_of_c(), &statement, &[&statement]);
        }
    }

    #[test]
    fn a_change_reaches_every_form_of_its_table() {
        check(
            &replicated_on_c(),
            "ALTER TABLE eye_g1.landing\n    MODIFY COLUMN n UInt64",
            &["ALTER TABLE eye_g1.landing ON CLUSTER 'c'\n    MODIFY COLUMN n UInt64"],
        );
        check(
            &replicated_on_c(),
            "/* Why. */\nALTER TABLE eye_g1.ledger MODIFY COLUMN n UInt64",
            &[
                "/* Why. */\nALTER TABLE eye_g1_local.ledger ON CLUSTER 'c' MODIFY COLUMN n UInt64",
                "/* Why. */\nALTER TABLE eye_g1.ledger ON CLUSTER 'c' MODIFY COLUMN n UInt64",
            ],
        );
        check(
            &shards_of_c(),
            "ALTER TABLE eye_g1.features MODIFY COLUMN n UInt64",
            &[
                "ALTER TABLE eye_g1_local.features MODIFY COLUMN n UInt64",
                "ALTER TABLE eye_g1.features MODIFY COLUMN n UInt64",
            ],
        );
        check(
            &replicated_on_c(),
            "ALTER TABLE eye_g1.ledger DROP PROJECTION IF EXISTS p",
            &["ALTER TABLE eye_g1_local.ledger ON CLUSTER 'c' DROP PROJECTION IF EXISTS p"],
        );
    }

    #[test]
    fn an_unknown_statement_is_refused() {
        for statement in ["OPTIMIZE TABLE eye_g1.ledger", "ALTER TABLE eye_g1.unheard_of ADD COLUMN n UInt64"]
        {
            assert!(spread(&shards_of_c(), statement.into()).is_err());
        }
    }
}
