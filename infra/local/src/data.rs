//! Where a stack keeps its data: a directory that is given and kept, or one of its own that goes with it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// A directory that one stack holds.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _temporary: Option<TempDir>,
    /// Says to others that the owner lives; the kernel lets it go when the owner dies, however it dies.
    _lock: File,
}

impl DataDir {
    /// `dir` kept, or a temporary one.
    ///
    /// # Errors
    /// Another stack holds it, or it can't be written.
    pub(crate) fn new(dir: Option<&Path>) -> anyhow::Result<Self> {
        dir.map_or_else(Self::temporary, Self::keep)
    }

    /// Takes `dir`, creating it if need be.
    ///
    /// # Errors
    /// Another stack holds it, or it can't be written.
    fn keep(dir: &Path) -> anyhow::Result<Self> {
        // A directory that is there belongs to people, and may hold more than our data: what is ours in it is private.
        if !dir.exists() {
            make_private(dir)?;
        }
        let lock = File::create(dir.join("lock"))?;
        let held = lock.try_lock();
        held.with_context(|| {
            format!("{} is in use by another stack: stop it, or choose another directory", dir.display())
        })?;
        Ok(Self { path: std::path::absolute(dir)?, _temporary: None, _lock: lock })
    }

    /// A new one that is removed on drop. Removes those that killed processes left behind.
    ///
    /// # Errors
    /// The directory for temporary files can't be written.
    fn temporary() -> anyhow::Result<Self> {
        let home = std::env::temp_dir().join("the-eye-stacks");
        fs::create_dir_all(&home)?;
        // Held while directories come and go, so that none is swept between its creation and its lock.
        let door = File::create(home.join("door"))?;
        door.lock()?;
        for entry in fs::read_dir(&home)?.flatten() {
            let Ok(lock) = File::open(entry.path().join("lock")) else { continue };
            if lock.try_lock().is_ok() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let temporary = tempfile::Builder::new().prefix("stack-").tempdir_in(&home)?;
        let lock = File::create(temporary.path().join("lock"))?;
        lock.lock()?;
        Ok(Self { path: temporary.path().to_owned(), _temporary: Some(temporary), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Creates the directory if need be; only its owner may look into it, whoever made it. Not for one that may be shared.
///
/// # Errors
/// It can't be created, or belongs to somebody else.
pub(crate) fn make_private(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    fs::set_permissions(dir, Permissions::from_mode(0o700))
        .with_context(|| format!("cannot keep others out of {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::keep(dir.path()).unwrap();
        let error = DataDir::keep(dir.path()).unwrap_err();
        assert!(error.to_string().contains("in use by another stack"), "{error}");
        drop(first);
        DataDir::keep(dir.path()).unwrap();
    }

    #[test]
    fn only_what_is_made_here_is_kept_from_others() {
        let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o777;
        let shared = tempfile::tempdir().unwrap();
        fs::set_permissions(shared.path(), Permissions::from_mode(0o777)).unwrap();
        let new = shared.path().join("new");
        for (dir, expected) in [(shared.path(), 0o777), (&new, 0o700)] {
            drop(DataDir::keep(dir).unwrap());
            assert_eq!(mode(dir), expected, "{}", dir.display());
        }
    }

    #[test]
    fn a_temporary_one_goes_with_its_owner_and_so_do_orphans() {
        let data = DataDir::temporary().unwrap();
        let path = data.path().to_owned();
        let orphan = path.parent().unwrap().join("stack-orphan");
        fs::create_dir_all(&orphan).unwrap();
        File::create(orphan.join("lock")).unwrap();
        let other = DataDir::temporary().unwrap();
        assert!(!orphan.exists());
        assert!(path.exists() && other.path().exists());
        drop(data);
        assert!(!path.exists());
    }
}
