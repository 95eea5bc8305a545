//! What commands print: tables, any JSON as an outline, and the words for times.
//!
//! Names and reasons come from the other side of a connection, so what is printed never holds a control character of theirs:
//! a terminal would obey it.

mod outline;
mod table;
mod words;

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

pub(super) use outline::outline;
pub(super) use table::{Align, Table};
pub(super) use words::{ago, counted, latency, place, plain, span};

/// Prints on stdout. A reader that has seen enough, such as `head`, is no error.
///
/// # Errors
/// It cannot be written, to a full disk say.
pub(super) fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("cannot print: {error}")),
        _ => Ok(()),
    }
}

/// Prints JSON on stdout, with line breaks: `jq` does not mind, people do.
///
/// # Errors
/// As `print`.
pub(super) fn print_json(value: &Value) -> Result<(), String> {
    print(&format!("{value:#}\n"))
}
