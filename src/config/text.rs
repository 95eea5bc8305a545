//! A config as it was read: its text, and the files that the text names.
//!
//! The API changes what a config is resolved beside, not the config: until the next reload a text means what it meant when it
//! was read, whatever has become of the files on the disk since.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use toml::de::DeTable;

use super::error::{Errors, Wrong};
use super::files::{self, Content, Files};
use super::snapshot::Snapshot;
use super::{Known, Mode, limits, not_utf8, parse_with};

/// See the header.
#[derive(Debug)]
pub struct Text {
    /// What errors call it.
    name: String,
    toml: String,
    mode: Mode,
    /// Where relative paths begin.
    folder: PathBuf,
    /// Where nothing in the text says it.
    state_dir: Option<PathBuf>,
    /// When it was read: what has expired since is for the next reload to see.
    at: SystemTime,
    /// The files that were read so far.
    files: Mutex<HashMap<PathBuf, Content>>,
}

impl Text {
    /// Reads a config file. The files that it names are read when it is first resolved.
    ///
    /// # Errors
    /// Why it cannot be read, or that it is not text.
    pub fn read(path: &Path) -> Result<Text, Errors> {
        let name = path.display().to_string();
        let bytes = match files::read_from_disk(path, limits::FILE_BYTES_MAX + 1) {
            Ok(content) => content.bytes,
            Err(error) => return Err(Errors::of_file(name, files::unreadable(&error))),
        };
        if bytes.len() > limits::FILE_BYTES_MAX {
            let what = format!("the file is larger than {} MiB", limits::FILE_BYTES_MAX >> 20);
            return Err(Errors::of_file(name, Wrong::new(what, "check that this is the config file")));
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(not_utf8(&name, error.as_bytes(), error.utf8_error().valid_up_to())),
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Text {
            name,
            toml: text,
            mode: Mode::Run,
            folder,
            state_dir: None,
            at: SystemTime::now(),
            files: Mutex::default(),
        })
    }

    /// The demo's own, which names no file; what the API changes is kept in `state_dir`.
    #[must_use]
    pub fn of_demo(text: &str, state_dir: &Path) -> Text {
        Text {
            name: "demo".to_owned(),
            toml: text.to_owned(),
            mode: Mode::Demo,
            folder: PathBuf::new(),
            state_dir: Some(state_dir.to_owned()),
            at: SystemTime::now(),
            files: Mutex::default(),
        }
    }

    /// Where what the API changes is kept: it decides what the rest is resolved beside, so it is looked for first. `None` also
    /// where the text is no good, which `resolve` says.
    #[must_use]
    pub fn state_dir(&self) -> Option<PathBuf> {
        let root = DeTable::parse(&self.toml).ok();
        let typed = root.as_ref().and_then(|root| root.get_ref().get("balancer")?.get_ref().get("state_dir"));
        let typed = typed.and_then(|value| value.get_ref().as_str());
        typed.map(|path| self.folder.join(path)).or_else(|| self.state_dir.clone())
    }

    /// Makes the snapshot of revision 1 of it, beside what is known.
    ///
    /// # Errors
    /// Everything that is wrong with the text, sorted by line.
    pub fn resolve(&self, known: &Known) -> Result<Snapshot, Errors> {
        let read = |path: &Path, bytes_max: usize| self.read_once(path, bytes_max);
        let files = Files { folder: &self.folder, read: &read };
        let snapshot = parse_with(&self.name, &self.toml, self.mode, &files, (known, self.at))?;
        let state_dir = snapshot.state_dir.clone().or_else(|| self.state_dir.clone());
        Ok(Snapshot { state_dir, ..snapshot })
    }

    fn read_once(&self, path: &Path, bytes_max: usize) -> io::Result<Content> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = files.get(path) {
            return Ok(content.clone());
        }
        let content = match self.mode {
            Mode::Run => files::read_from_disk(path, bytes_max)?,
            Mode::Demo => files::read_nothing(path, bytes_max)?,
        };
        files.insert(path.to_owned(), content.clone());
        Ok(content)
    }
}
