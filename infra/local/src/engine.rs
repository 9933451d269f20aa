//! The ClickHouse engine, libchdb, from npm.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::cache;

const PACKAGE: &str = include_str!("../engine/package.json");
const LOCK: &str = include_str!("../engine/package-lock.json");
const LIBRARY: &str = "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

/// Where libchdb is; fetched (about 570 MB) if it is not there yet.
///
/// # Errors
/// npm missing, too little disk, or the package does not have the hash that is pinned.
pub(crate) fn engine() -> anyhow::Result<PathBuf> {
    let name = cache::keyed("clickhouse-engine", &[PACKAGE.as_bytes(), LOCK.as_bytes()]);
    let entry = cache::entry(&name, |dir| {
        cache::require_space(dir, 1 << 30)?;
        fs::write(dir.join("package.json"), PACKAGE)?;
        fs::write(dir.join("package-lock.json"), LOCK)?;
        let mut command = Command::new("npm");
        command
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=http"])
            .current_dir(dir);
        let hint = "npm fetches the ClickHouse engine. Install it: https://nodejs.org, or apt-get install nodejs npm";
        cache::fetch(&mut command, "fetching the ClickHouse engine from npm (570 MB)", hint)?;
        // Only node needs it.
        let _ = fs::remove_file(dir.join(LIBRARY).with_file_name("chdb_node.node"));
        Ok(())
    })?;
    let library = entry.join(LIBRARY);
    ensure!(library.exists(), "{} is missing: remove {} and start again", library.display(), entry.display());
    Ok(library)
}
