//! Which process writes a run of an SQLite store: a file beside it, locked by the kernel.
//!
//! ```text
//! selvedge.db   selvedge.db-run-<id>.lock   locked from a run's beginning to its end
//! ```
//!
//! The kernel takes the lock away when the process dies, however it dies; that is how a dead
//! writer is told from a slow one. The file itself is empty, is taken away with the run's end, and
//! stays behind a killed process until its run is resumed and ended. It says nothing of the run:
//! the store does.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::RunId;

/// A lock that is held. Dropped, it is free again and its file stays, as after a kill.
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Where the lock of `run` is. `store` is the one path that names the store's file to everybody:
    /// absolute, and through no link.
    pub(super) fn path_of(store: &Path, run: RunId) -> PathBuf {
        let mut path = store.as_os_str().to_owned();
        path.push(format!("-run-{run}.lock"));
        path.into()
    }

    /// Takes the lock at `path`; `None` when a living process has it.
    pub(super) fn take(path: &Path) -> io::Result<Option<LockFile>> {
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            // The one who had it may have taken the file away since it was opened here; a lock on
            // a file that nobody finds would hold nobody off.
            if is_at(&file, path)? {
                let path = path.to_owned();
                return Ok(Some(LockFile { file, path }));
            }
        }
    }

    /// Takes the file away and then frees the lock.
    pub(super) fn release(self) -> io::Result<()> {
        let removed = std::fs::remove_file(&self.path);
        drop(self.file);
        removed
    }
}

/// Whether `path` still names this file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_until_it_is_dropped_or_released() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.lock");
        let held = LockFile::take(&path).unwrap().unwrap();
        assert!(LockFile::take(&path).unwrap().is_none());
        drop(held);
        assert!(path.exists(), "as after a kill");
        let held = LockFile::take(&path).unwrap().unwrap();
        held.release().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn many_who_take_and_release_never_hold_it_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.lock");
        let n_holders = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut n_held = 0;
                    while n_held < 50 {
                        let Some(held) = LockFile::take(&path).unwrap() else {
                            std::thread::yield_now();
                            continue;
                        };
                        let order = std::sync::atomic::Ordering::SeqCst;
                        assert_eq!(n_holders.fetch_add(1, order), 0);
                        n_held += 1;
                        n_holders.fetch_sub(1, order);
                        held.release().unwrap();
                    }
                });
            }
        });
    }
}
