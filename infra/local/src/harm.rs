//! What happens to the files of a server that is down: a power cut, a backup that is put back.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies a directory with all that is in it, links as links.
///
/// # Errors
/// It can't be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status()?;
    if copied.success() { Ok(()) } else { Err(io::Error::other(format!("cp -a: {copied}"))) }
}

/// Cuts the last `count` batches off the newest segment of a partition of Kafka, as a power cut does with a log that is
/// not flushed, and removes what the broker derives from the segments.
///
/// # Errors
/// A file can't be read or written.
pub fn cut_batches(partition: &Path, count: usize) -> io::Result<()> {
    let files: Vec<PathBuf> =
        fs::read_dir(partition)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    let is_segment = |path: &&PathBuf| path.extension() == Some(OsStr::new("log"));
    if let Some(segment) = files.iter().filter(is_segment).max() {
        let bytes = fs::read(segment)?;
        let starts = batches(&bytes);
        let kept = starts.get(starts.len().saturating_sub(count)).copied().unwrap_or(0);
        fs::write(segment, &bytes[..kept])?;
    }
    for path in &files {
        let is_derived = |extension: &OsStr| extension != "log" && extension != "metadata";
        if path.extension().is_some_and(is_derived) || path.ends_with("leader-epoch-checkpoint") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Where each batch of a segment begins: offset (8 bytes), length of what follows (4 bytes), and that.
fn batches(segment: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while let Some(length) = segment.get(at + 8..).and_then(|rest| rest.first_chunk::<4>()) {
        let Ok(length @ 1..) = usize::try_from(i32::from_be_bytes(*length)) else { break };
        starts.push(at);
        at += 12 + length;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batches_go_and_what_follows_from_them() {
        let partition = tempfile::tempdir().unwrap();
        let batch = |offset: u8| [[0, 0, 0, 0, 0, 0, 0, offset].as_slice(), &[0, 0, 0, 2], b"ab"].concat();
        let file = |name: &str| partition.path().join(name);
        // A segment that was allocated ahead ends in zeros.
        let segment = [batch(0), batch(1), batch(2), vec![0; 20]].concat();
        fs::write(file("00000000000000000000.log"), segment).unwrap();
        for derived in ["00000000000000000000.index", "leader-epoch-checkpoint", "partition.metadata"] {
            fs::write(file(derived), "").unwrap();
        }
        cut_batches(partition.path(), 2).unwrap();
        assert_eq!(fs::read(file("00000000000000000000.log")).unwrap(), batch(0));
        let left = ["00000000000000000000.index", "leader-epoch-checkpoint", "partition.metadata"];
        assert_eq!(left.map(|name| file(name).exists()), [false, false, true]);
        cut_batches(partition.path(), 9).unwrap();
        assert!(fs::read(file("00000000000000000000.log")).unwrap().is_empty());
    }
}
