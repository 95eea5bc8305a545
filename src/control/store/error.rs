//! Why the store does not open, save or load: what, where, how to mend it.

use std::fmt::{self, Display, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use super::Meta;
use super::format::Fault;

/// Why the store does not do what it was asked for. Prints one mistake a line.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The kernel or the disk said no.
    #[error("state_dir: {}: {doing}: {error}; {}{outcome}", .path.display(), mend(.error, .path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What failed.
        doing: &'static str,
        /// The kernel's answer.
        error: io::Error,
        /// What became of the change.
        outcome: Outcome,
    },
    /// Another process has it.
    #[error(
        "state_dir: {} is in use by {}; stop that one, or give each process a state_dir of its own",
        .path.display(),
        .process.map_or("another process".to_owned(), |id| format!("process {id}"))
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its id, where it could write it down.
        process: Option<u32>,
    },
    /// What was saved last is not whole, or not ours: going on without being told to would lose it.
    #[error("{0}")]
    Refused(Refused),
    /// A revision that was asked for is not whole.
    #[error("state_dir: {}: {fault}; choose another revision", .path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A revision that was asked for is not there.
    #[error("there is no revision {revision}; the last {kept} are kept")]
    Unknown {
        /// Its number.
        revision: u64,
        /// How many are kept.
        kept: usize,
    },
    /// Numbers grow: this one was given already. A bug of the caller's.
    #[error("revision {revision} does not come after revision {last}, which was saved last")]
    NotNewer {
        /// The number.
        revision: u64,
        /// The highest so far.
        last: u64,
    },
    /// More than a revision may hold.
    #[error("the revision's {part} has {bytes} bytes, and {bytes_max} can be saved; make the change smaller")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest.
        bytes_max: usize,
    },
}

/// What became of a change that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is not saved.
    NothingChanged,
    /// It was there when the disk failed, and may be after a restart.
    Unknown,
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::NothingChanged => "",
            Outcome::Unknown => "; whether the change was saved shows after a restart",
        })
    }
}

/// What was saved last is not whole, or not ours.
#[derive(Debug)]
pub struct Refused {
    /// Files that are refused, the newest first.
    pub files: Vec<(PathBuf, Fault)>,
    /// The newest revision below them that is whole.
    pub previous: Option<Meta>,
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, fault) in &self.files {
            writeln!(f, "state_dir: {}: {fault}", path.display())?;
        }
        match &self.previous {
            Some(meta) => write!(
                f,
                "state_dir: nothing was changed; {} is whole. To go on with it, set aside what is not, and start again:",
                described(meta)
            )?,
            None => f.write_str(
                "state_dir: nothing was changed; no older revision is whole. Bring the folder back from a copy; or, to go on \
                 with the config file alone, set aside what is not whole, and start again:",
            )?,
        }
        for (index, (path, _)) in self.files.iter().enumerate() {
            let path = path.display().to_string();
            let (and, from, to) =
                (if index == 0 { "" } else { " &&" }, quoted(&path), quoted(&format!("{path}.aside")));
            write!(f, "{and} mv {from} {to}")?;
        }
        Ok(())
    }
}

/// A revision in a sentence. Who and what are escaped and cut: they came over the API.
fn described(meta: &Meta) -> String {
    let cut = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
    let (who, what) = (cut(&meta.who), cut(&meta.what));
    let at = humantime::format_rfc3339_seconds(meta.at);
    let mut text = format!("revision {} of {at}", meta.revision);
    // Writing to a string does not fail.
    let _ = write!(text, " by {who:?} ({what:?})");
    text
}

/// Characters of a text that a message shows. Ours: a line stays a line.
const SHOWN_CHARS_MAX: usize = 100;

/// A word for a shell.
fn quoted(path: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

fn mend(error: &io::Error, path: &Path) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => {
            // The file itself is not there.
            let folder = path.parent().unwrap_or(path).display().to_string();
            format!("there is no room: see df -h {}, and make some", quoted(&folder))
        }
        Some(libc::EROFS) => {
            "the file system is read-only: the kernel's log (dmesg) says whether a failing disk made it so; under \
                              systemd give weir the folder by StateDirectory= or ReadWritePaths="
                .to_owned()
        }
        Some(libc::EACCES | libc::EPERM) => "the account that runs weir must own the folder and all that is in it: \
                                             install -d -m 700 -o ACCOUNT FOLDER, chown -R ACCOUNT FOLDER"
            .to_owned(),
        Some(libc::ENOENT) => "make the folder above it, or correct state_dir".to_owned(),
        Some(libc::ENOTDIR) => "it is not a folder: correct state_dir".to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => "raise the descriptor limit: LimitNOFILE=1048576 in the unit".to_owned(),
        _ => "look at the disk and the kernel's log: dmesg".to_owned(),
    }
}
