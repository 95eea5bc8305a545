//! The folder is one process's: its lock, held until the process ends, however it ends.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::error::{Outcome, StoreError};

/// Name of the file that is locked. It stays: taking it away would let two processes lock two files.
pub(super) const LOCK: &str = "lock";

/// Mode of a new folder.
const FOLDER_MODE: u32 = 0o700;

/// Write permission of others than the owner, chmod(2).
const WRITE_BY_OTHERS: u32 = 0o022;

/// Held while it lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing is not enough: a process that another thread is just starting has a copy of the descriptor until it runs its
    /// program, and the lock would last as long (flock(2)).
    fn drop(&mut self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!("state_dir: the lock cannot be given back: {error}");
        }
    }
}

/// Makes the folder if there is none. Gives a warning where others than its owner may write in it.
pub(super) fn make_folder(path: &Path) -> Result<Option<String>, StoreError> {
    let failed =
        |doing| move |error| StoreError::Io { path: path.to_owned(), doing, error, outcome: Outcome::NothingChanged };
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => sync_parent(path).map_err(failed("cannot sync the folder above it"))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("cannot make the folder")(error)),
    }
    let mode = fs::metadata(path).map_err(failed("cannot look at the folder"))?.permissions().mode();
    let open = mode & WRITE_BY_OTHERS != 0;
    Ok(open.then(|| {
        let shown = path.display();
        format!(
            "state_dir {shown}: others than its owner may write in it (mode {:04o}): chmod 700 {shown}",
            mode & 0o7777
        )
    }))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Takes the lock, or says which process has it.
pub(super) fn take(folder: &Path) -> Result<Lock, StoreError> {
    let path = folder.join(LOCK);
    let failed =
        |error| StoreError::Io { path: path.clone(), doing: "cannot lock it", error, outcome: Outcome::NothingChanged };
    let mut file = open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(StoreError::InUse { path: folder.to_owned(), process: read_process(&mut file) });
        }
        Err(error) => return Err(failed(error.into())),
    }
    // For whoever is refused; on a disk that is full or read-only they are not told.
    let _ = fs::write(&path, format!("{}\n", std::process::id()));
    Ok(Lock { file })
}

/// For reading: what is there can be run on a file system that became read-only, and a file that is held open for writing would
/// keep an operator from making it so.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW);
    options.open(path).or_else(|error| {
        if error.kind() != ErrorKind::NotFound {
            return Err(error);
        }
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        options.open(path)
    })
}

fn read_process(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_ends_though_a_copy_of_its_descriptor_lives() {
        let dir = tempfile::TempDir::new().unwrap();
        let lock = take(dir.path()).unwrap();
        let copy = lock.file.try_clone().unwrap();
        assert!(matches!(take(dir.path()), Err(StoreError::InUse { .. })));
        drop(lock);
        take(dir.path()).unwrap();
        drop(copy);
    }
}
