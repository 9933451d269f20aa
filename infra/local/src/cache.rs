//! The cache of fetched programs: `${XDG_CACHE_HOME:-~/.cache}/the-eye/`. Entries appear whole or not
//! at all, and several processes may ask for the same one at once.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

/// The directory of the entry `name`, made by `make` (which gets an empty directory) if it is not there yet.
///
/// # Errors
/// No home directory, no space, or `make`'s own error; then nothing is left behind.
pub(crate) fn entry(name: &str, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    let root = root()?;
    let entry = root.join(name);
    if entry.exists() {
        return Ok(entry);
    }
    fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    let lock = File::create(root.join(format!("{name}.lock")))?;
    lock.lock().with_context(|| format!("cannot lock {}.lock", entry.display()))?;
    if entry.exists() {
        return Ok(entry);
    }
    // Under the lock a directory of this name is the rest of an installation that was killed.
    let unfinished = root.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir(&unfinished)?;
    let made = make(&unfinished);
    if made.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    made?;
    fs::rename(&unfinished, &entry)?;
    Ok(entry)
}

/// A name for an entry that changes with `content`: `name-0123456789abcdef`.
pub(crate) fn keyed(name: &str, content: &[&[u8]]) -> String {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, &content.concat()).simple().to_string();
    format!("{name}-{}", &hash[..16])
}

fn root() -> anyhow::Result<PathBuf> {
    let caches = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir().context("HOME is not set: set XDG_CACHE_HOME")?.join(".cache"),
    };
    Ok(caches.join("the-eye"))
}

/// Runs a fetching command while a spinner shows `what` and the file it is at.
///
/// # Errors
/// The program is missing (the sentence says how to get it), or it fails (its last lines are in the error).
pub(crate) fn fetch(command: &mut Command, what: &str, hint: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let start = Instant::now();
    let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("missing: {program}. {hint}"),
        Err(error) => return Err(error).with_context(|| format!("cannot run {program}")),
    };
    let spinner = ProgressBar::new_spinner()
        .with_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("a valid template"))
        .with_message(what.to_owned());
    if std::io::stderr().is_terminal() {
        spinner.enable_steady_tick(Duration::from_millis(120));
    } else {
        eprintln!("{what} ...");
    }
    let mut stderr = child.stderr.take().context("no stderr")?;
    let errors = thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().context("no stdout")?).lines().map_while(Result::ok) {
        let file = line.split_whitespace().find(|word| word.contains("://")).map(Path::new);
        if let Some(file) = file.and_then(Path::file_name).and_then(OsStr::to_str) {
            spinner.set_message(format!("{what}: {file}"));
        }
        lines.push(line);
    }
    let status = child.wait()?;
    spinner.finish_and_clear();
    let errors = errors.join().unwrap_or_default();
    if !status.success() {
        let tail =
            lines.iter().map(String::as_str).chain(errors.lines()).filter(|line| !line.trim().is_empty());
        let tail: Vec<&str> = tail.collect();
        bail!("{what} failed ({program}: {status}):\n{}", tail[tail.len().saturating_sub(15)..].join("\n"));
    }
    eprintln!("{what}: done in {:.0?}", start.elapsed());
    Ok(())
}

/// Fails if the file system of `dir` has less than `needed` bytes free.
///
/// # Errors
/// Too little space; the sentence says where and how much.
pub(crate) fn require_space(dir: &Path, needed: u64) -> anyhow::Result<()> {
    let Some(existing) = dir.ancestors().find(|dir| dir.exists()) else { return Ok(()) };
    let fs = rustix::fs::statvfs(existing).with_context(|| format!("cannot read {}", existing.display()))?;
    let free = fs.f_bavail * fs.f_frsize;
    if free < needed {
        let mb = 1 << 20;
        bail!(
            "too little disk: {} has {} MB free, {} MB are needed; free some, or choose another directory",
            existing.display(),
            free / mb,
            needed / mb
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_content() {
        assert_eq!(keyed("a", &[b"x", b"y"]), keyed("a", &[b"xy"]));
        assert_ne!(keyed("a", &[b"x"]), keyed("a", &[b"y"]));
    }

    #[test]
    fn too_little_space_is_one_clear_line() {
        let error = require_space(Path::new("/tmp/not/there"), u64::MAX).unwrap_err().to_string();
        assert!(error.starts_with("too little disk: /"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn a_missing_program_is_one_clear_line() {
        let error = fetch(&mut Command::new("no-such-program"), "fetching", "Install it.").unwrap_err();
        assert_eq!(error.to_string(), "missing: no-such-program. Install it.");
    }

    #[test]
    fn a_failing_program_shows_its_last_words() {
        let error = fetch(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]), "fetching", "");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("one\ntwo"), "{error}");
    }
}
