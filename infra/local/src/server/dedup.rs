//! Repairs the deduplication logs of MergeTree tables before the engine opens them.
//!
//! A MergeTree that is not replicated notes an insert's block id in `deduplication_logs/` *before* it
//! renames the new part into place. Killed in between, the rows are absent, and yet the retry counts as
//! a duplicate: they would be lost for good. So an entry whose part is not there is dropped. Before the
//! engine runs nothing else changes these files.

use std::fs;
use std::io;
use std::path::Path;

/// Drops the entries without a part in every table under `data`; says how many they were.
///
/// # Errors
/// A directory can't be read or a log can't be rewritten.
pub(crate) fn repair(data: &Path) -> io::Result<usize> {
    let mut dropped = 0;
    for prefix in directories(&data.join("store"))? {
        for table in directories(&prefix)? {
            let logs = table.join("deduplication_logs");
            if logs.exists() {
                dropped += repair_table(&table, &logs)?;
            }
        }
    }
    Ok(dropped)
}

fn repair_table(table: &Path, logs: &Path) -> io::Result<usize> {
    let names = directories(table)?;
    let parts: Vec<Part<'_>> =
        names.iter().filter_map(|dir| Part::parse(dir.file_name()?.to_str()?)).collect();
    let mut dropped = 0;
    for log in fs::read_dir(logs)? {
        let path = log?.path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        let kept: String = text.split_inclusive('\n').filter(|line| is_sound(line, &parts)).collect();
        if kept != text {
            dropped += text.lines().count() - kept.lines().count();
            let new = path.with_extension("new");
            fs::write(&new, kept)?;
            fs::rename(&new, &path)?;
        }
    }
    Ok(dropped)
}

/// An entry is `operation \t part \t block id \n`; operation 1 adds, others undo. A line that was cut
/// off by the end of the process is not sound either.
fn is_sound(line: &str, parts: &[Part<'_>]) -> bool {
    let Some(entry) = line.strip_suffix('\n') else { return false };
    let mut fields = entry.split('\t');
    let (Some(operation), Some(part), Some(_)) = (fields.next(), fields.next(), fields.next()) else {
        return false;
    };
    operation != "1" || Part::parse(part).is_none_or(|part| parts.iter().any(|other| other.covers(&part)))
}

/// The name of a part: `partition_min_max_level` or `.._mutation`.
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    partition: &'a str,
    min: i64,
    max: i64,
}

impl<'a> Part<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        // While it is written or removed a part's directory is called tmp_... or delete_tmp_...
        if name.starts_with("tmp_") || name.starts_with("delete_tmp_") {
            return None;
        }
        let fields: Vec<&str> = name.split('_').collect();
        let ([partition, min, max, level] | [partition, min, max, level, _]) = fields[..] else {
            return None;
        };
        level.parse::<u32>().ok()?;
        Some(Self { partition, min: min.parse().ok()?, max: max.parse().ok()? })
    }

    /// The other was merged into this one, or is this one.
    fn covers(&self, other: &Self) -> bool {
        self.partition == other.partition && self.min <= other.min && other.max <= self.max
    }
}

fn directories(of: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let entries = match fs::read_dir(of) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries
        .map(|entry| Ok(entry?.path()))
        .filter(|path| path.as_ref().is_ok_and(|path| path.is_dir()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_without_a_part_are_dropped_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let table = data.path().join("store/123/12345678-aaaa");
        for dir in ["all_1_4_1", "tmp_insert_all_5_5_0", "202601_2_2_0_9", "detached", "deduplication_logs"] {
            fs::create_dir_all(table.join(dir)).unwrap();
        }
        fs::create_dir_all(data.path().join("store/456/a-view")).unwrap();
        let log = table.join("deduplication_logs/deduplication_log_1.txt");
        let sound = "1\tall_2_2_0\tall_7\n2\tall_9_9_0\tall_8\n1\t202601_2_2_0\t202601_1\n";
        fs::write(&log, format!("{sound}1\tall_5_5_0\tall_9\n1\t202602_2_2_0\t202602_1\n1\tall_6")).unwrap();
        assert_eq!(repair(data.path()).unwrap(), 3);
        assert_eq!(fs::read_to_string(&log).unwrap(), sound);
        assert_eq!(repair(data.path()).unwrap(), 0);
        assert_eq!(fs::read_dir(log.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_data_directory_has_nothing_to_repair() {
        assert_eq!(repair(tempfile::tempdir().unwrap().path()).unwrap(), 0);
    }

    #[test]
    fn names_of_parts() {
        assert_eq!(Part::parse("all_1_2_3"), Some(Part { partition: "all", min: 1, max: 2 }));
        assert_eq!(Part::parse("202601_1_2_0_7"), Some(Part { partition: "202601", min: 1, max: 2 }));
        assert_eq!(Part::parse("detached"), None);
        assert_eq!(Part::parse("delete_tmp_all_1_2_3"), None);
    }
}
