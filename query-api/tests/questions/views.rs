//! `docs/sql.md` says the truth: each view's columns, and each question runs.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::demo;
use crate::world::World;

const PAGE: &str = include_str!("../../../docs/sql.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_page_describes_every_view_and_its_questions_have_answers() {
    let mut world = World::new().await;
    let events = demo::events();
    world.append(&events, 5000).await;
    world.reject(&events[0], "data_invalid", "/data/platform", "{}").await;
    world.refresh().await;
    let views = world.clickhouse.database.clone();

    #[derive(Row, Deserialize)]
    struct Column {
        table: String,
        name: String,
        kind: String,
    }
    let columns: Vec<Column> = world
        .tables
        .query("SELECT table, name, type AS kind FROM system.columns WHERE database = {views:String} ORDER BY table, position")
        .param("views", &views)
        .fetch_all()
        .await
        .unwrap();
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for Column { table, name, kind } in columns {
        found.entry(table).or_default().push((name, kind));
    }
    // What the services use to find the serving generation.
    found.remove("generation");
    assert_eq!(described(), found);

    let mut questions = 0;
    for block in PAGE.split("```sql\n").skip(1) {
        let sql = block.split("```").next().unwrap().replace("eye.", &format!("{views}."));
        let mut rows = world.tables.query_raw(&sql).fetch_bytes("TSV").unwrap();
        let rows = rows.collect().await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        assert!(!rows.is_empty(), "no row: {sql}");
        questions += 1;
    }
    // A lost one would go unnoticed.
    assert_eq!(questions, 14);
}

/// View to columns with their types, as the page has them.
fn described() -> BTreeMap<String, Vec<(String, String)>> {
    let mut described: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut view = None;
    for line in PAGE.lines() {
        if line.starts_with('#') {
            view = line.strip_prefix("### eye.");
        }
        let (Some(view), Some(cells)) = (view, line.strip_prefix("| ")) else { continue };
        let cells: Vec<&str> = cells.split(" | ").collect();
        if cells[0] != "column" {
            described.entry(view.to_owned()).or_default().push((cells[0].to_owned(), cells[1].to_owned()));
        }
    }
    described
}
