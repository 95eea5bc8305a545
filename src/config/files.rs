//! The files that a config names: read once, while the config is, so that a snapshot needs no disk.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::Wrong;

/// How files are got at. Tests and the demo have none of the disk's.
pub(super) struct Files<'f> {
    /// Relative paths begin here: the config's own folder.
    pub folder: &'f Path,
    /// Reads at most so many bytes of a file.
    pub read: &'f dyn Fn(&Path, usize) -> io::Result<Content>,
}

/// A file's bytes, and who may read it.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub bytes: Vec<u8>,
    /// Its permission bits, chmod(2).
    pub mode: u32,
}

impl Content {
    /// Refuses the content of a secret's file that other accounts may have read; `shown` is its path.
    pub fn guarded(self, shown: impl Display) -> Result<Content, Wrong> {
        if self.mode & OTHERS != 0 {
            let what = format!("{shown} is open to every account of this machine (mode {:04o})", self.mode & 0o7777);
            return Err(Wrong::new(what, format!("make a new one, and keep others out: chmod 640 {shown}")));
        }
        Ok(self)
    }
}

/// Permission bits of accounts that are neither the file's owner nor in its group, chmod(2).
const OTHERS: u32 = 0o007;

impl Files<'_> {
    /// The path from where the process stands.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Reads a file of at most `bytes_max` bytes.
    pub fn read(&self, path: &Path, bytes_max: usize) -> Result<Content, Wrong> {
        let path = self.path(path);
        // One byte more than allowed is asked for, so that a file that is too large shows.
        let content = (self.read)(&path, bytes_max + 1).map_err(|error| {
            let Wrong { what, mend } = unreadable(&error);
            Wrong::new(format!("{} {what}", path.display()), mend)
        })?;
        if content.bytes.len() <= bytes_max {
            return Ok(content);
        }
        let what = format!("{} is larger than {} KiB", path.display(), bytes_max >> 10);
        Err(Wrong::new(what, "shorten it, or name another file"))
    }
}

/// Reads at most so many bytes from the disk. A pipe or a device in a file's place holds nobody up: it is refused.
pub(super) fn read_from_disk(path: &Path, bytes_max: usize) -> io::Result<Content> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| if error.raw_os_error() == Some(libc::ENXIO) { no_file() } else { error })?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if !metadata.is_file() {
        return Err(no_file());
    }
    let mode = metadata.permissions().mode();
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(Content { bytes, mode })
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe, a socket or a device")
}

/// There are no files: a text that is no file's has no folder either.
pub(super) fn read_nothing(_: &Path, _: usize) -> io::Result<Content> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this config has no files beside it"))
}

pub(super) fn unreadable(error: &io::Error) -> Wrong {
    let mend = match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "let the account that runs weir read it",
        io::ErrorKind::IsADirectory => "name the file inside it",
        io::ErrorKind::InvalidInput => "name a file that ends: save what comes out of it first",
        _ => "check the file and the disk it is on",
    };
    Wrong::new(format!("cannot be read: {error}"), mend)
}
