//! Where a head ends: the first empty line behind its first line. Nothing else is decided here.
//!
//! ```text
//!     piece --memchr LF--> each line's length, against the limits --> the rest of a line waits for the next piece
//!                `-- a line without bytes --> the head's end
//! ```
//!
//! Always: each byte is looked at once, however the head is cut up; no line grows past its limit.

use super::limits::{EMPTY_LINES_MAX, FIELDS_MAX};

/// Bounds of a head, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The first line.
    pub(super) first_line: usize,
    /// Any other line.
    pub(super) one_field: usize,
    /// All other lines with their ends.
    pub(super) all_fields: usize,
}

/// Which bound a head is past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooLong {
    FirstLine,
    Field,
    Fields,
    FieldCount,
    EmptyLines,
}

/// What a piece came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scanned {
    /// All of it belongs to the head, which goes on.
    Open,
    /// The head ends behind so many bytes of it.
    End(usize),
    /// So many bytes of it are empty lines ahead of the head.
    Skip(usize),
}

/// The scan's state: offsets count from the head's first byte.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lines {
    /// Where the current line begins.
    line_at: usize,
    /// Where the first line ended, with its line end; 0: it did not.
    fields_at: usize,
    fields: usize,
    empty: usize,
    /// Lines that end in CRLF, and in LF alone.
    crlf: usize,
    lf: usize,
}

impl Lines {
    /// Looks through `piece`, which follows `before`, the head so far.
    pub(super) fn scan(&mut self, before: &[u8], piece: &[u8], bounds: &Bounds) -> Result<Scanned, TooLong> {
        for lf in memchr::memchr_iter(b'\n', piece) {
            let end = before.len() + lf;
            let previous = if lf > 0 { piece.get(lf - 1) } else { before.last() };
            let has_cr = end > self.line_at && previous == Some(&b'\r');
            let length = end - self.line_at - usize::from(has_cr);
            if length == 0 && self.fields_at == 0 {
                self.empty += 1;
                if self.empty > EMPTY_LINES_MAX {
                    return Err(TooLong::EmptyLines);
                }
                return Ok(Scanned::Skip(lf + 1));
            }
            if has_cr {
                self.crlf += 1;
            } else {
                self.lf += 1;
            }
            if length == 0 {
                return Ok(Scanned::End(lf + 1));
            }
            self.check(length, end + 1, bounds)?;
            if self.fields_at == 0 {
                self.fields_at = end + 1;
            } else {
                self.fields += 1;
            }
            self.line_at = end + 1;
        }
        let so_far = before.len() + piece.len();
        // One byte more may be the CR of the line's end.
        self.check((so_far - self.line_at).saturating_sub(1), so_far, bounds)?;
        Ok(Scanned::Open)
    }

    fn check(&self, length: usize, end: usize, bounds: &Bounds) -> Result<(), TooLong> {
        if self.fields_at == 0 {
            return if length > bounds.first_line { Err(TooLong::FirstLine) } else { Ok(()) };
        }
        if length > bounds.one_field {
            return Err(TooLong::Field);
        }
        if end - self.fields_at > bounds.all_fields {
            return Err(TooLong::Fields);
        }
        // A line that began counts, but an empty one, or what may become one, is no field.
        if length > 0 && self.fields >= FIELDS_MAX { Err(TooLong::FieldCount) } else { Ok(()) }
    }

    /// Some line ended in LF alone.
    pub(super) fn has_bare_lf(&self) -> bool {
        self.lf > 0
    }

    /// Some lines ended in LF alone, some did not.
    pub(super) fn are_mixed(&self) -> bool {
        self.lf > 0 && self.crlf > 0
    }
}
