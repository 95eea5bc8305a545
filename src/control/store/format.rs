//! A revision as a file: two lines of head, then the body as it was given.
//!
//!     weir-state 1 BLAKE3 OF THE SECOND LINE
//!     {"revision":43,"at":"...","who":"...","what":"...","body_bytes":812,"body_blake3":"..."}
//!     body
//!
//! Pure: bytes in, a revision or what is wrong with them out. The head has a checksum of its own, so that a list of revisions
//! needs no body. The first line is compared with the one that its content calls for: there is one spelling only, so no byte of a
//! file can change unnoticed.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Meta, Saved};

/// How each file of ours begins, whatever its version.
const MAGIC: &[u8] = b"weir-state ";

/// Of the format: another one is another file.
const VERSION: &str = "1";

/// Longest head in bytes: who and what are sentences, not documents. Ours.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Longest body in bytes. Ours: four times the largest config file.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// Second 0 of the year 10000, which RFC 3339 cannot write.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It has no bytes.
    #[error("the file is torn: it is empty")]
    Empty,
    /// It ends too early.
    #[error("the file is torn: {is_bytes} bytes are there of {}", .should_bytes.map_or("an unknown number".to_owned(), |bytes| bytes.to_string()))]
    Torn {
        /// Its length.
        is_bytes: u64,
        /// What its head says; `None` where that is torn too.
        should_bytes: Option<u64>,
    },
    /// It goes on after its end.
    #[error("the file is damaged: it has {is_bytes} bytes, and {should_bytes} were saved")]
    Longer {
        /// Its length.
        is_bytes: u64,
        /// What its head says.
        should_bytes: u64,
    },
    /// It begins with something else.
    #[error("this is not a file that weir saved")]
    Foreign,
    /// Another format.
    #[error(
        "the file has format \"{0}\", and this version of weir reads format \"{VERSION}\": it is another version's"
    )]
    Version(String),
    /// Bytes changed.
    #[error("the file is damaged: its {part} is not what was saved")]
    Damaged {
        /// Which part does not match its checksum.
        part: &'static str,
    },
    /// It holds another revision than its name says.
    #[error("the file holds revision {holds}: it was renamed or copied")]
    Misnamed {
        /// The revision in it.
        holds: u64,
    },
    /// The disk does not give it.
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
}

/// Why a revision cannot be written down.
#[derive(Debug)]
pub(super) struct TooLarge {
    pub(super) part: &'static str,
    pub(super) bytes: usize,
    pub(super) bytes_max: usize,
}

/// What the head of a file says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) meta: Meta,
    /// Length of the whole file.
    pub(super) file_bytes: u64,
    /// Where the body begins.
    body_at: usize,
    body_blake3: String,
}

/// The second line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    revision: u64,
    at: String,
    who: String,
    what: String,
    body_bytes: u64,
    body_blake3: String,
}

/// The file of a revision.
pub(super) fn encode(saved: &Saved) -> Result<Vec<u8>, TooLarge> {
    let line = Line {
        revision: saved.revision,
        at: humantime::format_rfc3339_nanos(writable(saved.at)).to_string(),
        who: saved.who.clone(),
        what: saved.what.clone(),
        body_bytes: saved.body.len() as u64,
        body_blake3: checksum(&saved.body),
    };
    // JSON has no line end in it: one in a text is written as \n.
    let line = serde_json::to_vec(&line).unwrap_or_default();
    let first = first_line(&line);
    let head_bytes = first.len() + line.len() + 2;
    for (part, bytes, bytes_max) in
        [("description", head_bytes, HEAD_BYTES_MAX), ("body", saved.body.len(), BODY_BYTES_MAX)]
    {
        if bytes > bytes_max {
            return Err(TooLarge { part, bytes, bytes_max });
        }
    }
    Ok([&first, &b"\n"[..], &line, b"\n", &saved.body].concat())
}

/// Understands the head of a file of `file_bytes` bytes, of which the first are here: all of them, or `HEAD_BYTES_MAX`.
pub(super) fn decode_head(bytes: &[u8], file_bytes: u64) -> Result<Head, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    if !bytes.starts_with(MAGIC) {
        let begun = MAGIC.starts_with(bytes);
        return Err(if begun { Fault::Torn { is_bytes: file_bytes, should_bytes: None } } else { Fault::Foreign });
    }
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let (Some(first), Some(line), Some(_)) = (lines.next(), lines.next(), lines.next()) else {
        // A head that does not end where heads end at the latest was never ours.
        let is_torn = bytes.len() as u64 == file_bytes;
        return Err(if is_torn { Fault::Torn { is_bytes: file_bytes, should_bytes: None } } else { Fault::Foreign });
    };
    if first != first_line(line) {
        return Err(other_version(first).map_or(Fault::Damaged { part: "head" }, Fault::Version));
    }
    let damaged = Fault::Damaged { part: "head" };
    let Ok(said) = serde_json::from_slice::<Line>(line) else { return Err(damaged) };
    let Ok(at) = humantime::parse_rfc3339(&said.at) else { return Err(damaged) };
    let body_at = first.len() + line.len() + 2;
    let Some(should_bytes) = said.body_bytes.checked_add(body_at as u64) else { return Err(damaged) };
    if file_bytes < should_bytes {
        return Err(Fault::Torn { is_bytes: file_bytes, should_bytes: Some(should_bytes) });
    }
    if file_bytes > should_bytes {
        return Err(Fault::Longer { is_bytes: file_bytes, should_bytes });
    }
    let meta = Meta { revision: said.revision, at, who: said.who, what: said.what, body_bytes: said.body_bytes };
    Ok(Head { meta, file_bytes, body_at, body_blake3: said.body_blake3 })
}

/// Understands a whole file.
pub(super) fn decode(mut bytes: Vec<u8>) -> Result<Saved, Fault> {
    let Head { meta, body_at, body_blake3, .. } = decode_head(&bytes, bytes.len() as u64)?;
    // Its length was compared: the body is there, and nothing after it.
    let body = bytes.split_off(body_at);
    if checksum(&body) != body_blake3 {
        return Err(Fault::Damaged { part: "body" });
    }
    let Meta { revision, at, who, what, .. } = meta;
    Ok(Saved { revision, at, who, what, body })
}

fn first_line(line: &[u8]) -> Vec<u8> {
    [MAGIC, VERSION.as_bytes(), b" ", checksum(line).as_bytes()].concat()
}

fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// What stands in a first line in place of our version, if it is a number.
fn other_version(first: &[u8]) -> Option<String> {
    let version = first[MAGIC.len()..].split(|byte| *byte == b' ').next()?;
    let version = str::from_utf8(version).ok()?;
    (version != VERSION && version.parse::<u32>().is_ok()).then(|| version.to_owned())
}

/// The nearest time that RFC 3339 can write: a clock that is far off must not keep a change from being saved.
fn writable(at: SystemTime) -> SystemTime {
    at.clamp(UNIX_EPOCH, UNIX_EPOCH + YEAR_10000 - Duration::from_nanos(1))
}
