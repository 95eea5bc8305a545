//! Where lines go: a file that rotates, standard output, or syslog.
//!
//!     write(block of whole lines) --> as many lines as fit --> append --the file is full--> path.N-1 -> path.N, ..., path -> path.1
//!
//! A write that fails loses its lines and no others: where it left half a line, the next one begins on a line of its own.
//! Always: a file ends with a whole line before it is set aside, and no line is in two files.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::syslog::Syslog;
use crate::config::LogTo;

/// Mode of a new file: clients' addresses are not for everyone.
const MODE: u32 = 0o640;

/// A pipe that is full is tried again after so long, so many times. Ours: its reader has a second.
const PIPE_PAUSE: Duration = Duration::from_millis(10);
const PIPE_TRIES: u32 = 100;

/// The access log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("access log: {what}: {error}; {mend}")]
pub struct OpenError {
    pub(super) what: String,
    pub(super) error: io::Error,
    pub(super) mend: &'static str,
}

/// What became of a block.
#[derive(Debug)]
pub(super) struct Written {
    /// Whole lines that are out.
    pub(super) lines: u64,
    /// Why the rest is not.
    pub(super) error: Option<io::Error>,
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Output {
    File(LogFile),
    Stdout(Appender),
    Syslog(Syslog),
}

impl Output {
    pub(super) fn open(to: &LogTo) -> Result<Self, OpenError> {
        match to {
            LogTo::File { path, rotate_bytes, rotate_keep } => {
                let rotation = rotate_bytes.map(|bytes| Rotation { bytes: bytes.get(), keep: *rotate_keep });
                LogFile::open(path.clone(), rotation).map(Output::File)
            }
            LogTo::Stdout => Appender::stdout().map(Output::Stdout).map_err(|error| OpenError {
                what: "standard output".to_owned(),
                error,
                mend: "is it closed? Give [access_log] a file instead",
            }),
            LogTo::Syslog => Syslog::open(Path::new(super::syslog::SOCKET)).map(Output::Syslog),
        }
    }

    /// Opens a file anew: it may have been renamed. The others have nothing to open.
    pub(super) fn reopen(&mut self) -> Result<(), OpenError> {
        match self {
            Output::File(file) => file.reopen(),
            Output::Stdout(_) | Output::Syslog(_) => Ok(()),
        }
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, block: &[u8]) -> Written {
        match self {
            Output::File(file) => file.write(block),
            Output::Stdout(stdout) => stdout.append(block).1,
            Output::Syslog(syslog) => syslog.write(block),
        }
    }

    /// Lines that are longer do not get through.
    pub(super) fn line_bytes_max(&self) -> Option<usize> {
        match self {
            Output::File(_) | Output::Stdout(_) => None,
            Output::Syslog(_) => Some(super::syslog::LINE_BYTES_MAX),
        }
    }
}

/// As a line of the log names it.
impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::File(file) => write!(formatter, "{}", file.path.display()),
            Output::Stdout(_) => formatter.write_str("standard output"),
            Output::Syslog(_) => formatter.write_str(super::syslog::SOCKET),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Rotation {
    bytes: u64,
    keep: u16,
}

/// A file, and those set aside beside it.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    appender: Appender,
    size: u64,
    rotation: Option<Rotation>,
    /// Where it is set aside next. Beyond `Rotation::bytes` after that failed.
    full_at: u64,
    /// Setting aside failed, and that was logged.
    trouble: bool,
}

impl LogFile {
    fn open(path: PathBuf, rotation: Option<Rotation>) -> Result<Self, OpenError> {
        let file = open_file(&path)?;
        let metadata = file.metadata().map_err(|error| not_opened(&path, error))?;
        // A device or a pipe is nothing that can be set aside.
        let rotation = rotation.filter(|_| metadata.is_file());
        let full_at = rotation.map_or(u64::MAX, |rotation| rotation.bytes);
        let appender = Appender::new(file);
        Ok(LogFile { path, appender, size: metadata.len(), rotation, full_at, trouble: false })
    }

    /// The old one stays in use when the new one cannot be opened.
    fn reopen(&mut self) -> Result<(), OpenError> {
        let file = open_file(&self.path)?;
        let metadata = file.metadata().map_err(|error| not_opened(&self.path, error))?;
        let is_same = self
            .appender
            .file
            .metadata()
            .is_ok_and(|before| before.ino() == metadata.ino() && before.dev() == metadata.dev());
        self.appender = Appender { file, torn: is_same && self.appender.torn };
        self.size = metadata.len();
        self.full_at = self.rotation.map_or(u64::MAX, |rotation| rotation.bytes);
        Ok(())
    }

    fn write(&mut self, block: &[u8]) -> Written {
        let mut rest = block;
        let mut lines = 0;
        while !rest.is_empty() {
            if fitting(rest, self.full_at.saturating_sub(self.size)) == 0 && self.size > 0 {
                self.set_aside();
            }
            // A line that is longer than a whole file is a file of its own.
            let fits = match fitting(rest, self.full_at.saturating_sub(self.size)) {
                0 => first_line(rest),
                fits => fits,
            };
            let (appended, written) = self.appender.append(&rest[..fits]);
            self.size += appended as u64;
            lines += written.lines;
            if written.error.is_some() {
                return Written { lines, ..written };
            }
            rest = &rest[fits..];
        }
        Written { lines, error: None }
    }

    fn set_aside(&mut self) {
        let Some(rotation) = self.rotation else { return };
        let done = rename_all(&self.path, rotation.keep).and_then(|()| self.reopen().map_err(|error| error.error));
        match done {
            Ok(()) => self.trouble = false,
            Err(error) => {
                // It grows by another share before the next attempt.
                self.full_at = self.size.saturating_add(rotation.bytes);
                if !std::mem::replace(&mut self.trouble, true) {
                    let path = self.path.display();
                    tracing::error!(
                        "access log: {path} is full and cannot be set aside: {error}; it grows on; let weir make and rename files in its directory"
                    );
                }
            }
        }
    }
}

/// `path.N-1` becomes `path.N` and so on, `path` becomes `path.1`. Where somebody renamed the log itself, as logrotate does, it is
/// set aside already.
fn rename_all(path: &Path, keep: u16) -> io::Result<()> {
    if !path.try_exists()? {
        return Ok(());
    }
    if keep == 0 {
        return unless_missing(fs::remove_file(path));
    }
    for number in (1..keep).rev() {
        unless_missing(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
    }
    unless_missing(fs::rename(path, numbered(path, 1)))
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn numbered(path: &Path, number: u16) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn open_file(path: &Path) -> Result<File, OpenError> {
    // A pipe that nobody reads must not keep control waiting: it is an error then.
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE).custom_flags(libc::O_NONBLOCK);
    options.open(path).map_err(|error| not_opened(path, error))
}

fn not_opened(path: &Path, error: io::Error) -> OpenError {
    let mend = match error.kind() {
        io::ErrorKind::NotFound => "make its directory, or give [access_log] another path",
        io::ErrorKind::PermissionDenied => "let the user of weir write there, or give [access_log] another path",
        _ => "give [access_log] a path that can be written to",
    };
    OpenError { what: path.display().to_string(), error, mend }
}

/// Bytes of the whole lines at the beginning of `lines` that have room.
fn fitting(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    lines[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

/// A descriptor that lines are appended to.
#[derive(Debug)]
pub(super) struct Appender {
    file: File,
    /// What was written last is half a line.
    torn: bool,
}

impl Appender {
    pub(super) fn new(file: File) -> Self {
        Appender { file, torn: false }
    }

    /// A descriptor of our own: the standard library's would cut blocks into lines.
    fn stdout() -> io::Result<Self> {
        io::stdout().as_fd().try_clone_to_owned().map(File::from).map(Appender::new)
    }

    /// Also gives back how many bytes are out.
    fn append(&mut self, lines: &[u8]) -> (usize, Written) {
        let mut before = 0;
        if self.torn {
            if let Err(error) = self.file.write_all(b"\n") {
                return (0, Written { lines: 0, error: Some(error) });
            }
            self.torn = false;
            before = 1;
        }
        let (appended, error) = self.append_bytes(lines);
        self.torn = appended > 0 && lines[appended - 1] != b'\n';
        (before + appended, Written { lines: count_lines(&lines[..appended]), error })
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> (usize, Option<io::Error>) {
        let mut appended = 0;
        let mut tries = 0;
        while appended < bytes.len() {
            match self.file.write(&bytes[appended..]) {
                Ok(0) => return (appended, Some(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    appended += written;
                    tries = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < PIPE_TRIES => {
                    tries += 1;
                    sleep(PIPE_PAUSE);
                }
                Err(error) => return (appended, Some(error)),
            }
        }
        (appended, None)
    }
}

pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}
