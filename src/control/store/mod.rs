//! The state store: what the API changed, kept so that neither a restart nor a power cut loses it (requirement K4).
//!
//!     save: saving --write, sync--> saving --rename--> revision-43 --sync the folder--> acknowledged --> the oldest goes
//!     open: lock --> the highest revision-N, whole --> Saved
//!                            `--torn, damaged, foreign--> refused, the newest whole one below it offered
//!
//! A file a revision, never changed once it has its name: the previous version needs no copy, since nothing is written over it,
//! and what is in effect is the highest number. An operator goes back by setting files aside (`mv revision-43 revision-43.aside`).
//! What a body means is the caller's business. Calls wait for the disk: not for a thread that must answer.
//! Always: a name `revision-N` stands for bytes that were synced before; what `open` returned and what `save` acknowledged is there
//! after a power cut. One process has the folder at a time.
#![forbid(unsafe_code)]

mod error;
mod folder;
mod format;
mod lock;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use error::{Outcome, Refused, StoreError};
pub use format::Fault;

use folder::{Disk, Folder};
use format::{HEAD_BYTES_MAX, Head};
use lock::Lock;

/// Revisions that can be gone back to, the one in effect among them. Ours; ALB and CLB keep none.
pub(super) const REVISIONS_KEPT: usize = 100;

/// A file that is being written. One that is left from before is nobody's.
const SAVING: &str = "saving";

/// What names of revisions begin with.
const REVISION: &str = "revision-";

/// A revision: opaque bytes, and who made them when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its number: higher than all before, not necessarily by one.
    pub revision: u64,
    /// When it was made. Kept to the nanosecond, within the years 1970 to 9999.
    pub at: SystemTime,
    /// Who made it. This and `what` fit into `HEAD_BYTES_MAX` together, as JSON.
    pub who: String,
    /// What was changed.
    pub what: String,
    /// The state; at most `BODY_BYTES_MAX`.
    pub body: Vec<u8>,
}

/// A revision without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// See `Saved`.
    pub revision: u64,
    /// See `Saved`.
    pub at: SystemTime,
    /// See `Saved`.
    pub who: String,
    /// See `Saved`.
    pub what: String,
    /// Length of the body.
    pub body_bytes: u64,
}

/// What was in the folder.
#[derive(Debug, Default)]
pub struct Opened {
    /// What was saved last; `None` where nothing ever was.
    pub current: Option<Saved>,
    /// What an operator should know, a line each. None of it keeps the store from working.
    pub warnings: Vec<String>,
}

/// The folder, and what is in it.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    folder: Box<dyn Folder>,
    /// What is there, by number; `None` where the file is no good.
    revisions: BTreeMap<u64, Option<Meta>>,
    /// The highest number that was ever acknowledged, be its file set aside.
    revision_last: u64,
    kept: usize,
    /// `None` where the disk is a test's.
    _lock: Option<Lock>,
}

impl Store {
    /// Opens the folder, makes it if there is none, and locks it until the store is dropped.
    ///
    /// # Errors
    /// It is in use, what was saved last is not whole, or the disk says no.
    pub fn open(path: &Path) -> Result<(Store, Opened), StoreError> {
        let warning = lock::make_folder(path)?;
        let lock = lock::take(path)?;
        let failed = |error| io_error(path, "cannot be opened", error);
        let disk = Disk::open(path.to_owned()).map_err(failed)?;
        let (store, mut opened) = Store::open_in(path.to_owned(), Box::new(disk), REVISIONS_KEPT)?;
        opened.warnings.extend(warning);
        Ok((Store { _lock: Some(lock), ..store }, opened))
    }

    /// What was saved last, for whoever only looks: another process may have the store.
    ///
    /// # Errors
    /// It cannot be read, or is not whole: those of `open`.
    pub fn peek(path: &Path) -> Result<Option<Saved>, StoreError> {
        if !path.try_exists().unwrap_or(true) {
            return Ok(None);
        }
        let failed = |error| io_error(path, "cannot be read", error);
        let folder = Box::new(Disk::open(path.to_owned()).map_err(failed)?);
        let (path, revisions) = (path.to_owned(), BTreeMap::new());
        Store { path, folder, revisions, revision_last: 0, kept: REVISIONS_KEPT, _lock: None }.newest()
    }

    /// What was saved last, in a folder that another process may write in.
    fn newest(mut self) -> Result<Option<Saved>, StoreError> {
        let mut gone = None;
        loop {
            let names = self.folder.names().map_err(|error| io_error(&self.path, "cannot be listed", error))?;
            let revisions = names.iter().filter_map(|name| match kind_of(name.to_str()?) {
                Kind::Revision(revision) => Some((revision, None)),
                _ => None,
            });
            self.revisions = revisions.collect();
            let Some((&newest, _)) = self.revisions.last_key_value() else { return Ok(None) };
            match self.read(newest) {
                Ok(saved) => return Ok(Some(saved)),
                // The process has saved a newer one since, and let go of this one: of starts the last is kept.
                Err(Fault::Unreadable(error)) if error.kind() == ErrorKind::NotFound && gone != Some(newest) => {
                    gone = Some(newest);
                }
                Err(fault) => return Err(self.refused(newest, fault)),
            }
        }
    }

    /// Keeps a revision; on the disk, whatever happens next, when it returns.
    ///
    /// # Errors
    /// It is not saved, and what was before is in effect; `Outcome::Unknown` says that this is not certain.
    pub fn save(&mut self, saved: &Saved) -> Result<(), StoreError> {
        let revision = saved.revision;
        if revision <= self.revision_last {
            return Err(StoreError::NotNewer { revision, last: self.revision_last });
        }
        let bytes = format::encode(saved).map_err(|large| StoreError::TooLarge {
            part: large.part,
            bytes: large.bytes,
            bytes_max: large.bytes_max,
        })?;
        let name = name_of(revision);
        let written = self.folder.write_synced(SAVING, &bytes).and_then(|()| self.folder.rename(SAVING, &name));
        if let Err(error) = written {
            // It takes room, and is no use. Where it cannot be removed, the next one is written over it.
            let _ = self.folder.remove(SAVING);
            return Err(io_error(&self.path.join(&name), "cannot be saved", error));
        }
        if let Err(error) = self.folder.sync() {
            let taken_back = self.folder.remove(&name).and_then(|()| self.folder.sync());
            let outcome = if taken_back.is_ok() { Outcome::NothingChanged } else { Outcome::Unknown };
            return Err(StoreError::Io { path: self.path.join(&name), doing: "cannot be synced", error, outcome });
        }
        self.revision_last = revision;
        self.revisions.insert(revision, Some(saved.meta()));
        self.forget_the_oldest();
        Ok(())
    }

    /// A revision that is kept.
    ///
    /// # Errors
    /// It is not there, or not whole.
    pub fn load(&self, revision: u64) -> Result<Saved, StoreError> {
        if !self.revisions.contains_key(&revision) {
            return Err(StoreError::Unknown { revision, kept: self.kept });
        }
        self.read(revision).map_err(|fault| StoreError::Damaged { path: self.path.join(name_of(revision)), fault })
    }

    /// The revisions that are kept, the oldest first.
    #[must_use]
    pub fn revisions(&self) -> Vec<Meta> {
        self.revisions.values().flatten().cloned().collect()
    }

    /// The newest of them.
    #[must_use]
    pub fn revision_newest(&self) -> Option<&Meta> {
        self.revisions.values().flatten().next_back()
    }

    /// The highest number so far, 0 where there is none: the next revision's must be higher. A revision that was set aside counts,
    /// so that no number ever means two things.
    #[must_use]
    pub fn revision_last(&self) -> u64 {
        self.revision_last
    }

    /// Lets go of a revision that is of no use any more. One that cannot be removed stays.
    pub fn forget(&mut self, revision: u64) {
        if let Err(error) = self.folder.remove(&name_of(revision)) {
            let error = io_error(&self.path.join(name_of(revision)), "cannot be removed", error);
            return tracing::warn!("{error}");
        }
        self.revisions.remove(&revision);
    }

    fn open_in(path: PathBuf, folder: Box<dyn Folder>, kept: usize) -> Result<(Store, Opened), StoreError> {
        let mut store = Store { path, folder, revisions: BTreeMap::new(), revision_last: 0, kept, _lock: None };
        let mut opened = Opened::default();
        let names = store.folder.names().map_err(|error| io_error(&store.path, "cannot be listed", error))?;
        store.sort(names, &mut opened.warnings);
        // What a killed process renamed and did not sync is seen by us, and must not be gone after a power cut.
        if let Err(error) = store.folder.sync() {
            let error = io_error(&store.path, "cannot be synced", error);
            opened.warnings.push(format!("{error}; the change made last may be lost by a power cut"));
        }
        let Some((&newest, _)) = store.revisions.last_key_value() else { return Ok((store, opened)) };
        let current = match store.read(newest) {
            Ok(current) => current,
            Err(fault) => return Err(store.refused(newest, fault)),
        };
        store.read_heads(newest, &mut opened.warnings);
        store.revisions.insert(newest, Some(current.meta()));
        opened.current = Some(current);
        Ok((store, opened))
    }

    /// Takes down which revisions there are, and clears away what was being written when a process ended.
    fn sort(&mut self, names: Vec<OsString>, warnings: &mut Vec<String>) {
        let mut strange = Vec::new();
        for name in names {
            match name.to_str().map_or(Kind::Strange, kind_of) {
                Kind::Revision(revision) => {
                    self.revision_last = self.revision_last.max(revision);
                    self.revisions.insert(revision, None);
                }
                Kind::Aside(revision) => self.revision_last = self.revision_last.max(revision),
                Kind::Saving => {
                    if let Err(error) = self.folder.remove(SAVING) {
                        let error = io_error(&self.path.join(SAVING), "cannot be removed", error);
                        warnings.push(error.to_string());
                    }
                }
                Kind::Lock => {}
                Kind::Strange => strange.push(format!("{:?}", name.to_string_lossy())),
            }
        }
        if !strange.is_empty() {
            strange.sort();
            strange.truncate(STRANGE_SHOWN_MAX);
            warnings.push(format!(
                "state_dir: {}: files that are not weir's are left alone: {}; is it the right folder?",
                self.path.display(),
                strange.join(", ")
            ));
        }
    }

    /// Heads of all but the newest. Their bodies are looked at when they are asked for.
    fn read_heads(&mut self, newest: u64, warnings: &mut Vec<String>) {
        let older: Vec<u64> = self.revisions.range(..newest).map(|(revision, _)| *revision).collect();
        for revision in older {
            match self.read_head(revision) {
                Ok(head) => {
                    self.revisions.insert(revision, Some(head.meta));
                }
                Err(fault) => {
                    let path = self.path.join(name_of(revision));
                    let path = path.display();
                    warnings.push(format!("state_dir: {path}: {fault}; it cannot be gone back to: remove it"));
                }
            }
        }
    }

    fn read_head(&self, revision: u64) -> Result<Head, Fault> {
        let (bytes, file_bytes) =
            self.folder.read(&name_of(revision), HEAD_BYTES_MAX as u64).map_err(Fault::Unreadable)?;
        let head = format::decode_head(&bytes, file_bytes)?;
        let holds = head.meta.revision;
        if holds == revision { Ok(head) } else { Err(Fault::Misnamed { holds }) }
    }

    /// The head goes first, so that no file is read at length that is not ours.
    fn read(&self, revision: u64) -> Result<Saved, Fault> {
        let head = self.read_head(revision)?;
        let (bytes, _) = self.folder.read(&name_of(revision), head.file_bytes).map_err(Fault::Unreadable)?;
        format::decode(bytes)
    }

    /// The newest revision is no good: which one is?
    fn refused(&self, newest: u64, fault: Fault) -> StoreError {
        let path = |revision| self.path.join(name_of(revision));
        match fault {
            // Not the file's fault: the previous one is no remedy.
            Fault::Unreadable(error) if error.kind() == ErrorKind::PermissionDenied => {
                return io_error(&path(newest), "cannot be read", error);
            }
            _ => {}
        }
        let mut files = vec![(path(newest), fault)];
        for revision in self.revisions.range(..newest).rev().map(|(revision, _)| *revision) {
            match self.read(revision) {
                Ok(previous) => return StoreError::Refused(Refused { files, previous: Some(previous.meta()) }),
                Err(fault) => files.push((path(revision), fault)),
            }
        }
        StoreError::Refused(Refused { files, previous: None })
    }

    /// One that cannot be removed stays, and is tried again after the next save.
    fn forget_the_oldest(&mut self) {
        while self.revisions.len() > self.kept {
            let Some((&oldest, _)) = self.revisions.first_key_value() else { return };
            match self.folder.remove(&name_of(oldest)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let error = io_error(&self.path.join(name_of(oldest)), "cannot be removed", error);
                    return tracing::warn!("{error}");
                }
                _ => self.revisions.remove(&oldest),
            };
        }
    }
}

impl Saved {
    /// All but the body.
    #[must_use]
    pub fn meta(&self) -> Meta {
        let Saved { revision, at, who, what, body } = self;
        Meta { revision: *revision, at: *at, who: who.clone(), what: what.clone(), body_bytes: body.len() as u64 }
    }
}

/// Names of strange files that a warning shows.
const STRANGE_SHOWN_MAX: usize = 5;

/// What a name in the folder stands for.
enum Kind {
    Revision(u64),
    /// A revision that an operator set aside: its number and any ending.
    Aside(u64),
    Saving,
    Lock,
    Strange,
}

fn kind_of(name: &str) -> Kind {
    match name {
        SAVING => return Kind::Saving,
        lock::LOCK => return Kind::Lock,
        _ => {}
    }
    let Some(rest) = name.strip_prefix(REVISION) else { return Kind::Strange };
    let (number, ending) = rest.split_once('.').map_or((rest, None), |(number, ending)| (number, Some(ending)));
    match (number.parse::<u64>(), ending) {
        // One spelling only: with another there could be two files of one number.
        (Ok(revision), None) if name_of(revision) == name => Kind::Revision(revision),
        (Ok(revision), Some(_)) => Kind::Aside(revision),
        _ => Kind::Strange,
    }
}

fn name_of(revision: u64) -> String {
    format!("{REVISION}{revision}")
}

fn io_error(path: &Path, doing: &'static str, error: std::io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), doing, error, outcome: Outcome::NothingChanged }
}
