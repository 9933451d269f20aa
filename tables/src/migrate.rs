//! Makes a generation, changes it, serves it.

use anyhow::{Context, ensure};
use infra::database::ClickHouseConfig;

use crate::cluster;
use crate::ddl::{BASE, CHANGES, Change, TABLES, statements};
use crate::generations::before_the_first_release;
use crate::make::{applied_version, execute, foundation, make, noted, run, serve_on, versions, views};
use crate::restore::restore;

/// Makes a generation on each server if it is missing, and changes it if an earlier version of this program made it. It
/// is safe to run again, also after it died half way: every statement is idempotent.
///
/// # Errors
/// ClickHouse is out of reach, a statement fails (the error names its file), or the tables can't become today's.
pub async fn migrate(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    migrate_by(config, generation, &TABLES, &CHANGES).await
}

/// As [`migrate`], with other statements, to test how a release changes the tables of the one before.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_by(
    config: &ClickHouseConfig,
    generation: u32,
    tables: &[(&str, &str)],
    changes: &[Change<'_>],
) -> anyhow::Result<()> {
    let (database, own) = (config.generation(generation), cluster::own(config, generation));
    restore(config, generation).await?;
    for url in config.urls() {
        let client = config.client_of(url);
        for statement in foundation(config, generation)? {
            run(&client, &statement).await.with_context(|| format!("ClickHouse at {url}"))?;
        }
        let newest = changes.last().map_or(BASE, |(version, ..)| *version);
        let applied = match applied_version(&client, &own).await? {
            0 => {
                make(config, &client, generation, tables).await?;
                // New tables need no change.
                run(&client, &noted(&own, &versions(changes))).await?;
                newest
            }
            applied => applied,
        };
        ensure!(applied >= BASE, before_the_first_release(&database));
        ensure!(applied <= newest, "{database} is at version {applied}, newer than this program: upgrade it");
        for (version, name, sql) in changes.iter().filter(|(version, ..)| *version > applied) {
            let changed = execute(config, &client, sql.replace("{database}", &database)).await;
            changed.with_context(|| format!("{name} on {database}"))?;
            run(&client, &noted(&own, &[(*version, *name)])).await?;
            tracing::info!(database, name, "applied");
        }
    }
    Ok(())
}

/// Points the views of `eye` at a generation. Each view is replaced atomically, on one server after the other.
///
/// # Errors
/// ClickHouse is out of reach, or a view does not fit the generation.
pub async fn serve(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<()> {
    for client in config.clients() {
        serve_on(config, &client, generation).await?;
    }
    let database = config.generation(generation);
    tracing::info!(database, "serving");
    Ok(())
}

/// The statements that [`migrate`] and [`serve`] run on each empty ClickHouse, to read or to apply by hand.
///
/// # Errors
/// A statement has no form on a cluster.
pub fn render(config: &ClickHouseConfig, generation: u32) -> anyhow::Result<String> {
    let database = config.generation(generation);
    let tables = TABLES.iter().flat_map(|(_, sql)| statements(sql));
    let tables = tables.map(|statement| statement.replace("{database}", &database));
    let views = views(config, generation).into_iter().map(|(_, statement)| statement);
    let mut all = foundation(config, generation)?;
    for statement in tables.chain(views) {
        all.extend(cluster::spread(config, statement)?);
    }
    all.push(noted(&cluster::own(config, generation), &versions(&CHANGES)));
    Ok(all.iter().map(|statement| format!("{};\n\n", statement.trim_end())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generations::{check_version, list, serving};

    #[tokio::test]
    async fn an_error_names_the_server_that_was_asked() {
        let nodes = vec!["http://127.0.0.1:1".into(), "http://127.0.0.1:2".into()];
        let config = ClickHouseConfig { cluster: Some("c".into()), nodes, ..ClickHouseConfig::default() };
        for error in [
            serving(&config).await.unwrap_err(),
            list(&config).await.unwrap_err(),
            check_version(&config, 1).await.unwrap_err(),
            crate::made(&config, 1).await.unwrap_err(),
        ] {
            assert_eq!(error.to_string(), "ClickHouse at http://127.0.0.1:1");
        }
    }

    #[test]
    fn every_statement_has_a_form_on_a_cluster() {
        let config = ClickHouseConfig { cluster: Some("c".into()), ..ClickHouseConfig::default() };
        let script = render(&config, 2).unwrap();
        let is_ddl = |line: &&str| line.starts_with("CREATE ") || line.starts_with("ALTER ");
        let statements = script.lines().filter(is_ddl).count();
        assert_eq!(statements, script.matches(" ON CLUSTER 'c'").count());
        assert!(!script.contains("= MergeTree") && !script.contains("= ReplacingMergeTree"), "{script}");
        for sharded in ["ledger", "events", "rejections", "sequences", "erasures"] {
            assert!(script.contains(&format!("Distributed('c', 'eye_g2_local', '{sharded}', ")), "{sharded}");
        }
        let nodes = vec!["http://a".into(), "http://b".into()];
        let script = render(&ClickHouseConfig { nodes, ..config }, 2).unwrap();
        assert!(!script.contains("ON CLUSTER") && !script.contains("Replicated"), "{script}");
    }

    #[test]
    fn one_server_gets_the_files_as_they_are() {
        let script = render(&ClickHouseConfig::default(), 1).unwrap();
        for (name, sql) in TABLES {
            assert!(script.contains(sql.replace("{database}", "eye_g1").trim_end()), "{name}");
        }
        assert!(!script.contains("CLUSTER"));
    }
}
