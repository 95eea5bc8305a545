//! Figures for reports: latency by percentile and what happened when, as SVG or as a page that needs nothing else.
//!
//!     run      one run: percentiles beside their table, then requests a second and latency over time
//!     several  some runs: their percentiles in one chart
//!       both on: canvas (sheet, type, colours) <-- chart (axes, curves, legends) <-- axis (numbers to places)
//!
//! No font is looked up: the viewer's own sans-serif is used, and room is left for wide ones.

mod axis;
pub(super) mod canvas;
mod chart;
mod percentiles;
mod run;
mod series;
mod several;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::output::OutputError;
use crate::output::error::write as write_file;
use crate::output::html;
use crate::results::{Latency, Results};

pub(super) use run::charts;
pub use run::svg;
pub use several::svg as svg_of_several;

/// What kind of file a figure goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The figure alone.
    Svg,
    /// A page with the figure, settings and tables.
    Html,
}

impl Kind {
    /// By the ending of `path`, so that a wrong one is refused ahead of the run.
    ///
    /// # Errors
    /// It is neither `.svg` nor `.html`.
    pub fn of(path: &Path) -> Result<Self, OutputError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "svg" => Ok(Kind::Svg),
            "html" | "htm" => Ok(Kind::Html),
            _ => Err(OutputError::FigureEnding(path.to_owned())),
        }
    }
}

/// Draws one run to `path`, by its ending.
///
/// # Errors
/// The ending is unknown, the histogram does not decode, or the file cannot be written.
pub fn write(path: &Path, results: &Results) -> Result<(), OutputError> {
    let text = match Kind::of(path)? {
        Kind::Svg => svg(results)?,
        Kind::Html => html::page(results)?,
    };
    write_file(path, &text)
}

/// Draws several runs, named, into one chart at `path`, by its ending.
///
/// # Errors
/// As `write`.
pub fn write_several(path: &Path, runs: &[(&str, &Results)]) -> Result<(), OutputError> {
    let text = match Kind::of(path)? {
        Kind::Svg => svg_of_several(runs)?,
        Kind::Html => html::page_of_several(runs)?,
    };
    write_file(path, &text)
}

/// The distribution of the run that goes by `name`.
fn decode(name: &str, latency: &Latency) -> Result<hdrhistogram::Histogram<u64>, OutputError> {
    latency.decode().map_err(|source| OutputError::Histogram { name: name.to_owned(), source })
}
