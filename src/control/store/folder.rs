//! The steps of a disk that the store is built from, and the folder that takes them.
//!
//! A trait, because tests have disks of their own: one that loses at a power cut what was not synced, one that fails at any step,
//! and one on which the process is killed between any two of them.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Mode of a file: whatever the API was told is its owner's alone.
const FILE_MODE: u32 = 0o600;

/// One folder. Names are plain: no step leads out of it.
pub(super) trait Folder: Debug + Send {
    /// The names in it, in any order.
    fn names(&self) -> io::Result<Vec<OsString>>;
    /// At most so many bytes of a file, and how many it has.
    fn read(&self, name: &str, bytes_max: u64) -> io::Result<(Vec<u8>, u64)>;
    /// A file of these bytes, on the disk when it returns; its name may not be yet. What was there under the name is gone.
    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// One step, before which the old file is there and after which the new one is.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Names are on the disk when it returns.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the kernel's.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    /// For sync. Opened once, so that an error of the disk between two syncs is not missed.
    opened: File,
}

impl Disk {
    pub(super) fn open(path: PathBuf) -> io::Result<Disk> {
        let opened = File::open(&path)?;
        Ok(Disk { path, opened })
    }
}

impl Folder for Disk {
    fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn read(&self, name: &str, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
        // A pipe or a device in a file's place must not hold up the start.
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let not_a_file = || io::Error::other("it is a folder, a link or a device");
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(self.path.join(name));
        let file = opened.map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::ENXIO) => not_a_file(),
            _ => error,
        })?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(not_a_file());
        }
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok((bytes, meta.len()))
    }

    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(self.path.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.opened.sync_all()
    }
}
