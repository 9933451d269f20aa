//! The users: those of production, from the same file, and one for the engine itself. Writer and reader have a wider
//! choice of databases than in production.
//!
//! clickhouse-local is a program for one person: it lets every user read every file, by the function `file` and
//! by settings that name files. The settings are forbidden in `engine/users.xml`; the function is hidden behind
//! one of the same name that throws (ClickHouse looks for functions of users first). The table function `file`
//! needs a grant.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;
use uuid::Uuid;

/// As `infra/compose.yaml` mounts it.
const OF_PRODUCTION: &str = include_str!("../../../clickhouse-users.xml");
/// The users that every server has by default.
const BASE: &str = include_str!("../../engine/users.xml");
/// The user that runs clickhouse-local's own statements.
const LOCAL: &str = include_str!("../../engine/users-local.xml");

/// Where and what the engine reads of users' functions.
const FILE: (&str, &str) = (
    "data/user_defined/function_file.sql",
    "CREATE FUNCTION file AS (path) -> throwIf(1, 'the function file is not available on this server')\n",
);

/// Where the password of `writer` or `reader` is. An analyst has none.
pub(crate) fn password_file(directory: &Path, user: &str) -> PathBuf {
    directory.join(format!("{user}.password"))
}

/// Writes the files of users, with passwords that are made once; returns that of `writer`.
///
/// # Errors
/// A directory can't be written.
pub(super) fn write(directory: &Path, passwords: &Path) -> anyhow::Result<String> {
    let [writer, reader] = ["writer", "reader"].map(|user| password(&password_file(passwords, user)));
    let (writer, reader) = (writer?, reader?);
    let text = OF_PRODUCTION.replace(r#" from_env="EYE_ANALYST_PASSWORD"/>"#, "/>");
    // Tests have many databases, and name them eye_...
    let mut text = text.replace(" ON eye_g*.*", " ON eye*.*");
    for (variable, password) in [("EYE_WRITER_PASSWORD", &writer), ("EYE_READER_PASSWORD", &reader)] {
        text = text.replace(&format!(" from_env=\"{variable}\"/>"), &format!(">{password}</password>"));
    }
    let more = directory.join("users.d");
    fs::create_dir_all(&more)?;
    fs::write(directory.join("users.xml"), BASE)?;
    fs::write(more.join("eye.xml"), text)?;
    // Merged in the order of their names: after the file that removes `default`.
    fs::write(more.join("local.xml"), LOCAL)?;
    let (path, function) = FILE;
    let path = directory.join(path);
    fs::create_dir_all(path.parent().context("a file without a directory")?)?;
    fs::write(path, function)?;
    Ok(writer)
}

/// The password in the file; 244 new random bits if there is no file.
fn password(file: &Path) -> anyhow::Result<String> {
    if !file.exists() {
        let random = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        // Appears whole or not at all, and once: other shards make it at the same time.
        let directory = file.parent().context("a file without a directory")?;
        let mut new = NamedTempFile::new_in(directory)?;
        new.write_all(random.as_bytes())?;
        match new.persist_noclobber(file) {
            Err(error) if error.error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_local_copy_grants_more_than_eye_and_its_generations() {
        let granted = |text: &str| {
            let grants = text.lines().filter(|line| line.contains("GRANT ") && line.contains(" ON eye"));
            let databases = grants.map(|line| line.split(" ON ").nth(1).unwrap().replace("</query>", ""));
            databases.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(granted(OF_PRODUCTION), ["eye.*", "eye_g*.*"].map(String::from).into());
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), directory.path()).unwrap();
        let local = fs::read_to_string(directory.path().join("users.d/eye.xml")).unwrap();
        assert_eq!(granted(&local), ["eye*.*", "eye.*"].map(String::from).into());
    }
}
