//! Results for people and for programs: one file a format.
//!
//!     Results --> text     the report on the terminal
//!            |--> json     to a file and back
//!            |--> hgrm     HdrHistogram's percentile distribution
//!            |--> plot     a figure: SVG, or a page around it (html)
//!            `--> compare  two runs side by side
//!     Point ----> progress what is going on meanwhile
//!
//! `facts` holds the sentences that several of them say, `units` how a number is written. All of it but the few functions that
//! take a path, and the bar of `progress`, is pure: results in, text out.

pub mod compare;
mod error;
mod facts;
pub mod hgrm;
mod html;
pub mod json;
pub mod plot;
pub mod progress;
#[cfg(test)]
pub(crate) mod samples;
mod table;
pub mod text;
pub mod units;

pub use error::OutputError;
