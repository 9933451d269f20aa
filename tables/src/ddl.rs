//! The statements that make the tables, in the order in which they are run.
//!
//! A file makes a table as it is today, and the materialized view that fills it. `{database}` stands for the
//! generation's name, `{views}` for that of the views. After a release, a change is a numbered file in `ddl/changes/`
//! *and* an edit of the table's file. A test shows that both ways lead to the same tables.

/// The version of tables without any change. Databases of before the first release have lower versions.
pub const BASE: u32 = 100;

/// (name, statement)
pub type File = (&'static str, &'static str);

/// (version, name, statement) of a change.
pub type Change<'a> = (u32, &'a str, &'a str);

macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../", $folder, "/", $name, ".sql")))),*]
    };
}

/// The tables and the views that fill them. A view follows the tables that it reads and writes.
pub const TABLES: [File; 13] = files!("ddl":
    "landing", "ledger", "events", "rejections", "erasures",
    "features", "sequences", "sequences_positions",
    "usage_days", "usage_epochs", "usage_epoch",
    "horizons", "log_breaks",
);

/// The changes that turn tables of an earlier version into today's, oldest first, from [`BASE`] + 1 on.
pub const CHANGES: [(u32, &str, &str); 0] = [];

/// The views that readers see. They run with the rights of their maker: an analyst needs none on a generation.
pub const VIEWS: [File; 8] = files!("views":
    "ledger", "events", "rejections", "erasures", "features", "sequences", "positions", "horizons",
);

/// The statements of a file: a semicolon and an empty line separate them.
pub fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n\n")
}

pub fn of(table: &str) -> Option<&'static str> {
    TABLES.iter().find(|(name, _)| *name == table).and_then(|(_, sql)| statements(sql).next())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_named_after_what_it_makes_and_is_run() {
        for (folder, files) in [("ddl", TABLES.as_slice()), ("views", VIEWS.as_slice())] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let found = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
            let found = found.filter_map(|name| Some(name.to_str()?.strip_suffix(".sql")?.to_owned()));
            let known = files.iter().map(|(name, _)| (*name).to_owned());
            assert_eq!(found.collect::<BTreeSet<_>>(), known.collect::<BTreeSet<_>>());
            for (name, sql) in files {
                assert!(sql.starts_with("/*"), "{name} begins with a comment");
                let database = if folder == "ddl" { "{database}" } else { "{views}" };
                let makes = format!(" {database}.{name}");
                for statement in statements(sql) {
                    let (_, statement) = statement.split_once("*/").unwrap();
                    let line = statement.trim_start().lines().next().unwrap();
                    assert!(line.starts_with("CREATE ") && line.contains(&makes), "{name}: {line}");
                }
            }
        }
    }

    #[test]
    fn every_change_has_the_next_number() {
        let versions: Vec<u32> = CHANGES.iter().map(|(version, ..)| *version).collect();
        assert_eq!(versions, (BASE + 1..).take(versions.len()).collect::<Vec<_>>());
    }
}
