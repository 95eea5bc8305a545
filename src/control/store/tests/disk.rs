//! A disk of the tests: it loses at a power cut what was not synced, and fails where it is told to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::control::store::folder::Folder;

/// A disk that tests keep hold of while a store has it.
#[derive(Debug, Clone, Default)]
pub(super) struct TestDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Clone, Default)]
struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    /// Names as they are after a power cut, and the steps since, each of which may or may not be.
    names_synced: BTreeMap<String, usize>,
    steps: Vec<Step>,
    /// Steps that changed something, those that failed too.
    taken: usize,
    fails: Option<Failing>,
}

#[derive(Debug, Clone, Default)]
struct File {
    bytes: Vec<u8>,
    is_synced: bool,
}

/// One change of the names: all of it happens, or nothing.
#[derive(Debug, Clone)]
enum Step {
    Made(String, usize),
    Renamed(String, String, usize),
    Removed(String),
}

/// From which step on, for how many, with which error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    pub(super) from: usize,
    pub(super) steps: usize,
    pub(super) errno: i32,
}

impl TestDisk {
    pub(super) fn fail(&self, failing: Option<Failing>) {
        self.disk().fails = failing;
    }

    /// Steps taken so far.
    pub(super) fn taken(&self) -> usize {
        self.disk().taken
    }

    /// The disk after a power cut: of what was not synced, `chance` says what is left. Steps of names survive in any
    /// combination: POSIX promises no order.
    pub(super) fn after_power_cut(&self, chance: &mut dyn FnMut(usize) -> usize) -> TestDisk {
        let disk = self.disk();
        let mut names = disk.names_synced.clone();
        for step in &disk.steps {
            if chance(2) == 0 {
                continue;
            }
            match step {
                Step::Made(name, file) => drop(names.insert(name.clone(), *file)),
                Step::Renamed(from, to, file) => {
                    names.remove(from);
                    names.insert(to.clone(), *file);
                }
                Step::Removed(name) => drop(names.remove(name)),
            }
        }
        let files = disk.files.iter().map(|file| lose(file, chance)).collect();
        let names_synced = names.clone();
        TestDisk(Arc::new(Mutex::new(Disk { files, names, names_synced, ..Disk::default() })))
    }

    pub(super) fn names_now(&self) -> Vec<String> {
        self.disk().names.keys().cloned().collect()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of a file whose bytes were not synced: some of its beginning, then perhaps zeros.
fn lose(file: &File, chance: &mut dyn FnMut(usize) -> usize) -> File {
    let mut bytes = file.bytes.clone();
    if !file.is_synced {
        let whole = chance(bytes.len() + 1);
        if chance(2) == 0 { bytes.truncate(whole) } else { bytes[whole..].fill(0) }
    }
    File { bytes, is_synced: true }
}

impl Disk {
    fn step(&mut self) -> io::Result<()> {
        self.taken += 1;
        match self.fails {
            Some(Failing { from, steps, errno }) if self.taken > from && self.taken <= from.saturating_add(steps) => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }
}

impl Folder for TestDisk {
    fn names(&self) -> io::Result<Vec<OsString>> {
        Ok(self.names_now().into_iter().map(OsString::from).collect())
    }

    fn read(&self, name: &str, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
        let disk = self.disk();
        let bytes = &disk.files[disk.find(name)?].bytes;
        let end = bytes.len().min(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        Ok((bytes[..end].to_vec(), bytes.len() as u64))
    }

    /// Where it fails, half of the file is there.
    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let file = if let Some(file) = disk.names.get(name).copied() {
            file
        } else {
            let file = disk.files.len();
            disk.files.push(File::default());
            disk.names.insert(name.to_owned(), file);
            disk.steps.push(Step::Made(name.to_owned(), file));
            file
        };
        let result = disk.step();
        let end = if result.is_ok() { bytes.len() } else { bytes.len() / 2 };
        disk.files[file] = File { bytes: bytes[..end].to_vec(), is_synced: result.is_ok() };
        result
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let file = disk.find(from)?;
        disk.names.remove(from);
        disk.names.insert(to.to_owned(), file);
        disk.steps.push(Step::Renamed(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.find(name)?;
        disk.names.remove(name);
        disk.steps.push(Step::Removed(name.to_owned()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.names_synced = disk.names.clone();
        disk.steps.clear();
        Ok(())
    }
}
