//! Files that a service follows while it runs: the applications, the event types.
//!
//! A service reads the contents every [`EVERY`]: no notification of changes is reliable on every kind of volume. It
//! compares contents, not times: a mounted volume swaps a link to a folder, and no time changes. A change counts once
//! two reads in a row see the same, because files may be in the middle of being copied.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the files are looked at.
pub const EVERY: Duration = Duration::from_secs(2);
/// Folders deeper than this are not looked at: a link leads to a folder above itself.
const MAX_DEPTH: usize = 16;

/// Files, and folders with all that is below them.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    seen: String,
    /// The version that the last read saw, if it is another one.
    next: Option<String>,
    /// The process got SIGHUP, and nobody was told yet.
    told: bool,
    ticks: Interval,
    hangup: Signal,
}

/// From here on SIGHUP does not end this process, wherever it waits.
///
/// # Errors
/// The process can't have a handler for it.
pub fn outlive_hangups() -> io::Result<()> {
    signal(SignalKind::hangup()).map(drop)
}

impl Files {
    /// Looks at the files for the first time. Make this before the files are read: then what changes in between is a
    /// change, too. From here on SIGHUP does not end the process, also where `paths` is empty.
    ///
    /// # Errors
    /// The process can't have a handler for SIGHUP.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(paths: Vec<PathBuf>) -> io::Result<Self> {
        Self::look_every(EVERY, paths)
    }

    fn look_every(pause: Duration, paths: Vec<PathBuf>) -> io::Result<Self> {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { seen: version(&paths), paths, next: None, told: false, ticks, hangup })
    }

    /// The first 12 digits of the SHA-256 of what is in force; `None` if there are no files to follow.
    pub fn version(&self) -> Option<&str> {
        (!self.paths.is_empty()).then_some(&self.seen)
    }

    /// Waits until the files differ from what is in force, and have stopped changing; or until the process gets SIGHUP.
    /// Nothing is lost if the future is dropped.
    pub async fn changed(&mut self) {
        loop {
            tokio::select! {
                _ = self.ticks.tick() => {}
                _ = self.hangup.recv() => self.told = true,
            }
            let paths = self.paths.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || version(&paths)).await else { continue };
            if self.takes(now) {
                return;
            }
        }
    }

    fn takes(&mut self, now: String) -> bool {
        let is_change = now != self.seen && self.next.as_ref() == Some(&now);
        if self.told || is_change {
            (self.seen, self.next, self.told) = (now, None, false);
            return true;
        }
        self.next = Some(now);
        false
    }
}

/// Says on `/metrics` which version of followed files is in force.
#[derive(Debug, Clone)]
pub struct InForce {
    loaded: IntGauge,
    version: IntGaugeVec,
}

impl InForce {
    /// `name` is that of the metrics without their ends: `eye_ingest_apps` gives `eye_ingest_apps_loaded` and
    /// `eye_ingest_apps_version{sha256}`.
    ///
    /// # Errors
    /// The name is registered already.
    pub fn new(name: &str, registry: &Registry) -> prometheus::Result<Self> {
        let loaded = IntGauge::new(
            format!("{name}_loaded"),
            "1 if what is in force is as in the files, 0 if their last change was refused",
        )?;
        let help = "1 for the version in force: the first digits of the SHA-256 of the files";
        let version = IntGaugeVec::new(Opts::new(format!("{name}_version"), help), &["sha256"])?;
        registry.register(Box::new(loaded.clone()))?;
        registry.register(Box::new(version.clone()))?;
        Ok(Self { loaded, version })
    }

    /// See [`Files::version`]. A service without files goes by no version.
    pub fn loaded(&self, version: Option<&str>) {
        self.version.reset();
        if let Some(version) = version {
            self.version.with_label_values(&[version]).set(1);
        }
        self.loaded.set(1);
    }

    /// The files have changed, and what is in force has not.
    pub fn refused(&self) {
        self.loaded.set(0);
    }

    /// Notes, also in the log, the result of reading `what` again. Files that are refused change nothing.
    pub fn read_again(&self, what: &str, version: Option<&str>, read: anyhow::Result<()>) {
        match read {
            Ok(()) => {
                self.loaded(version);
                tracing::info!(version, "{what} read again");
            }
            Err(error) => {
                self.refused();
                tracing::error!(
                    error = format!("{error:#}"),
                    "{what} refused; the ones before stay in force"
                );
            }
        }
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded.get() == 1
    }
}

/// Files that can't be read are a version of their own.
fn version(paths: &[PathBuf]) -> String {
    let mut hash = Sha256::new();
    for path in paths {
        // Only what is below a path counts, not where the path leads.
        add(&mut hash, path, Path::new(""), 0);
    }
    let mut digits = format!("{:x}", hash.finalize());
    digits.truncate(12);
    digits
}

fn add(hash: &mut Sha256, path: &Path, name: &Path, depth: usize) {
    let mut piece = |kind: &str, bytes: &[u8]| {
        for part in [kind.as_bytes(), name.as_os_str().as_encoded_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    };
    if !path.is_dir() {
        return match std::fs::read(path) {
            Ok(bytes) => piece("file", &bytes),
            Err(error) => piece("unreadable", error.kind().to_string().as_bytes()),
        };
    }
    let Ok(entries) = std::fs::read_dir(path) else { return piece("unreadable", b"") };
    let mut names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    names.retain(|name| !is_hidden(name));
    names.sort();
    if depth < MAX_DEPTH {
        for below in names {
            add(hash, &path.join(&below), &name.join(&below), depth + 1);
        }
    }
}

/// Hidden entries are no event types. A mounted volume of Kubernetes keeps its files in `..data` and in a dated folder;
/// what has the files' names are links into those.
fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tokio::time::timeout;

    use super::*;

    const QUICK: Duration = Duration::from_millis(20);

    /// As a kubelet lays a volume out and swaps it.
    fn mount(folder: &Path, dated: &str, text: &str) {
        fs::create_dir(folder.join(dated)).unwrap();
        fs::write(folder.join(dated).join("a.json"), text).unwrap();
        let (next, data) = (folder.join("..data_tmp"), folder.join("..data"));
        symlink(dated, &next).unwrap();
        fs::rename(next, data).unwrap();
        if !folder.join("a.json").is_symlink() {
            symlink("..data/a.json", folder.join("a.json")).unwrap();
        }
    }

    #[tokio::test]
    async fn what_changes_is_seen_however_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        mount(folder.path(), "..2026_01", "1");
        let file = folder.path().join("apps.toml");
        let mut files = Files::look_every(QUICK, vec![file.clone(), folder.path().into()]).unwrap();
        let first = files.version().map(str::to_owned);

        let changes: [&dyn Fn(); 4] = [
            &|| fs::write(&file, "app").unwrap(),
            &|| mount(folder.path(), "..2026_02", "2"),
            &|| fs::remove_file(&file).unwrap(),
            &|| mount(folder.path(), "..2026_03", "1"),
        ];
        for change in changes {
            let before = files.version().map(str::to_owned);
            change();
            files.changed().await;
            assert_ne!(files.version(), before.as_deref());
        }
        assert_eq!(files.version(), first.as_deref(), "the same contents are the same version");
    }

    /// As somebody copies a folder, file by file.
    #[tokio::test]
    async fn what_still_changes_is_left_alone() {
        let mut files = Files::new(vec!["folder".into()]).unwrap();
        let first = files.seen.clone();
        let takes = |now: &str| files.takes(now.to_owned());
        assert_eq!([&*first, "half", "more", "all"].map(takes), [false; 4]);
        assert!(files.takes("all".into()));
        assert_eq!(files.version(), Some("all"));
        assert!(!files.takes("all".into()), "once");
        // Back before the second look: nothing has changed.
        assert_eq!(["half", "all", "half", "all", "all"].map(|now| files.takes(now.to_owned())), [false; 5]);
        files.told = true;
        assert!(files.takes("all".into()), "whoever says so wants it at once");
    }

    #[tokio::test]
    async fn a_hangup_is_a_look_and_ends_nothing() {
        let mut files = Files::new(vec![]).unwrap();
        let pid = rustix::process::getpid();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        files.changed().await;
        assert_eq!(files.version(), None, "there are no files");
    }

    #[test]
    fn a_service_without_files_goes_by_no_version() {
        let registry = Registry::new();
        let in_force = InForce::new("files", &registry).unwrap();
        let versions = || {
            let families = registry.gather();
            families.iter().filter(|family| family.name() == "files_version").count()
        };
        in_force.loaded(Some("a"));
        assert_eq!(versions(), 1);
        in_force.loaded(None);
        assert_eq!(versions(), 0);
        assert!(in_force.is_loaded());
    }

    /// Whoever waits may give up between the signal and the look.
    #[tokio::test]
    async fn a_hangup_outlives_the_one_who_waited() {
        let mut files = Files::new(vec!["folder".into()]).unwrap();
        let pid = rustix::process::getpid();
        for _ in 0..10 {
            rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
            // So that it has come.
            tokio::time::sleep(QUICK).await;
            if timeout(Duration::ZERO, files.changed()).await.is_err() {
                timeout(Duration::from_secs(60), files.changed()).await.expect("the signal is lost");
            }
        }
    }
}
