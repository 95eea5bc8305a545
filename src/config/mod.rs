//! The config: the TOML as typed becomes the snapshot that shards run on.
//!
//!     file --read--> Text --toml--> table with spans --raw--> Raw --resolve--> Snapshot
//!                                        `------------ every mistake -------> Errors
//!
//! Each step goes on after a mistake, so the operator sees all of them at once. One exception: a text that is not TOML is
//! not looked at further, because what is left of it would be reported as missing.
//! Pure apart from `parse`, which looks at the clock, and from `Text`, which reads the file and those that it names, so that
//! nothing else has to: text in, a snapshot or errors out.
//! Always: a snapshot comes out only where nothing was reported, so what it says holds without further checks.
#![forbid(unsafe_code)]

mod changes;
mod difference;
mod error;
mod files;
pub mod keys;
pub mod limits;
mod private;
mod raw;
mod resolve;
mod sharing;
mod snapshot;
#[cfg(test)]
mod tests;
mod text;
mod values;
mod webhook;

use std::path::Path;
use std::time::SystemTime;

use toml::de::DeTable;

pub use changes::{
    Change, Changes, GroupChanges, NewTarget, Over, Refused, RefusedCode, Registered, TargetUpdate, TargetsChange,
    Waiting, Which, may_join,
};
pub use difference::difference;
pub use error::{ConfigError, Errors};
pub use private::is_private;
pub(crate) use private::{check_unicast, is_private_network};
pub use snapshot::{
    AccessLog, Admin, AdminAddress, Algorithm, Balancer, CheckMethod, CheckProtocol, Cores, ErrorPage, Forwarded,
    HealthCheck, Http, HttpCheck, HttpGroup, HttpVersion, Hygiene, KeepAlive, Listener, LogFormat, LogTo, Managed,
    Protocol, SameSite, Scheme, SecurityGroupDrop, Service, Snapshot, Stickiness, Target, TargetGroup, TargetKind,
};
pub use text::Text;

pub use webhook::{WebhookKeys, WebhookKeysError};

use error::{Report, Wrong};
use files::Files;

use crate::inventory::{Door, Records};

/// What the config is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The operator's own config.
    Run,
    /// The config of `weir demo`, whose targets are on loopback.
    Demo,
}

/// What a config is read beside: by default nothing.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Machines that the file need not name: the API's. What the file says of one counts.
    pub records: Records,
    /// The side of the door that the balancer is on: `Snapshot::door` of what ran before (requirement G6).
    pub door: Door,
}

/// Makes the snapshot of revision 1 of a config text that names no file to read; `file_name` is what errors call it.
///
/// # Errors
/// Everything that is wrong with the text, sorted by line.
pub fn parse(file_name: &str, text: &str, mode: Mode) -> Result<Snapshot, Errors> {
    let files = Files { folder: Path::new(""), read: &files::read_nothing };
    parse_with(file_name, text, mode, &files, (&Known::default(), SystemTime::now()))
}

/// Reads the text of a file that is a secret, as the files of secrets that a config names are read: at most so many bytes, and
/// other accounts must not have access to it.
///
/// # Errors
/// What is wrong with it, and how to mend it.
pub(crate) fn read_secret(path: &Path, bytes_max: usize) -> Result<String, String> {
    let files = Files { folder: Path::new(""), read: &files::read_from_disk };
    let content = files.read(path, bytes_max).and_then(|content| content.guarded(path.display()));
    let content = content.map_err(|Wrong { what, mend }| format!("{what}; {mend}"))?;
    String::from_utf8(content.bytes).map_err(|_| format!("{} is not text; make a new one", path.display()))
}

fn parse_with(
    file_name: &str,
    text: &str,
    mode: Mode,
    files: &Files<'_>,
    (known, now): (&Known, SystemTime),
) -> Result<Snapshot, Errors> {
    let report = Report::new(file_name, text);
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(first) => {
            for error in syntax_errors(text, first) {
                report.syntax(error.span().map_or(0, |span| span.start), error.message());
            }
            return Err(report.into_errors());
        }
    };
    let snapshot = resolve::resolve(raw::read(root.get_ref(), &report), mode, files, (known, now), &report);
    if report.is_empty() { Ok(snapshot) } else { Err(report.into_errors()) }
}

/// All places where the text is not TOML. Of a large text the first only: each one costs hundreds of bytes, so a file that
/// is something else altogether would take gigabytes.
fn syntax_errors(text: &str, first: toml::de::Error) -> Vec<toml::de::Error> {
    if text.len() > limits::SYNTAX_ERRORS_BYTES_MAX { vec![first] } else { DeTable::parse_recoverable(text).1 }
}

fn not_utf8(name: &str, bytes: &[u8], valid_bytes: usize) -> Errors {
    let text = String::from_utf8_lossy(&bytes[..valid_bytes]);
    let what = format!("byte 0x{:02x} is not UTF-8", bytes[valid_bytes]);
    // The character that the bad byte stands for keeps the text as long as the file, so the line is right at its end too.
    let text = format!("{text}?");
    let report = Report::new(name, &text);
    report.at_offset(valid_bytes, "text", Wrong::new(what, "save the file as UTF-8"));
    report.into_errors()
}
