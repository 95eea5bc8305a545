//! What can go wrong between results and files. Every message names the file and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::results::{BadHistogram, FORMAT};

/// Why results could not be written, read or drawn.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// Where from.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{}: not JSON: {source}; give a file that `--json` wrote", path.display())]
    NotJson {
        /// Where from.
        path: PathBuf,
        /// Where in it, and why.
        source: serde_json::Error,
    },
    /// JSON of another program, or changed by hand.
    #[error("{}: JSON, but not the results of a run: {source}; give a file that `--json` wrote", path.display())]
    NotResults {
        /// Where from.
        path: PathBuf,
        /// What is missing or of another type.
        source: serde_json::Error,
    },
    /// A later release wrote it.
    #[error(
        "{}: format {format} is newer than this weir-loadgen, which reads up to {FORMAT}; read it with the release that wrote it",
        path.display()
    )]
    Newer {
        /// Where from.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// A histogram does not decode.
    #[error("{name}: {source}")]
    Histogram {
        /// The run: its file, or what else it goes by.
        name: String,
        /// What is wrong with it.
        source: BadHistogram,
    },
    /// A figure is asked for by another ending than ours.
    #[error("{}: a figure's file ends with .svg or .html; name it so", .0.display())]
    FigureEnding(PathBuf),
    /// The figure could not be drawn: a fault of ours.
    #[error("the figure could not be drawn: {0}; please report it with the results' JSON")]
    Draw(String),
}

/// Writes `text` to `path`, whatever was there.
pub(super) fn write(path: &Path, text: &str) -> Result<(), OutputError> {
    std::fs::write(path, text).map_err(|source| OutputError::Write { path: path.to_owned(), source })
}
