//! What becomes of path, query and host ahead of a forward (requirement R3, ALB's transforms).
//!
//!     /old/a?b=1 --first match of ^/old/(.*) becomes /new/$1--> /new/a?b=1 --well-formed?--> the target's request line
//!                         `--no match--> as it was                              `--no--> the request fails, 500
//!
//! The rule was chosen by what the client sent; a rewrite changes nothing about that. The host is matched without its port, as
//! in conditions, and keeps its port unless the replacement names one.
//! Always: what was written is a path with its slash, or a host, and holds nothing that could end a line or a word of it.
#![forbid(unsafe_code)]

use regex::bytes::Regex;

use super::check::Wrong;
use super::expression::{self, TEXT_BYTES_MAX};
use super::rule::{Replace, Rewrite};
use crate::l7::framing::limits::REQUEST_LINE_BYTES_MAX;
use crate::l7::framing::{RequestHead, authority_has_port};

/// A rule's rewrite, compiled.
#[derive(Debug, Clone)]
pub struct Rewriter {
    host: Option<Replacer>,
    path: Option<Replacer>,
}

/// What a rewrite works on.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// `host[:port]`.
    pub authority: &'a [u8],
    /// Length of the host in it.
    pub host_bytes: usize,
    /// Without query.
    pub path: &'a [u8],
    /// Without its question mark.
    pub query: Option<&'a [u8]>,
}

impl<'a> Original<'a> {
    /// The request, whose head is complete.
    #[must_use]
    pub fn of(request: &'a RequestHead) -> Self {
        Original {
            authority: request.authority(),
            host_bytes: request.host().len(),
            path: request.path(),
            query: request.query(),
        }
    }
}

/// How a rewrite went; for the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// Well, also where nothing matched.
    Success,
    /// The new host is none.
    InvalidHost,
    /// The new path does not begin with a slash, or has bytes that a request line cannot have.
    InvalidPath,
    /// The new path or host is too long.
    TooLong,
}

impl Transform {
    /// ALB's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Transform::Success => "TransformSuccess",
            Transform::InvalidHost => "TransformInvalidHost",
            Transform::InvalidPath => "TransformInvalidPath",
            Transform::TooLong => "TransformBufferTooSmall",
        }
    }
}

impl Rewriter {
    pub(super) fn new(rewrite: &Rewrite) -> Result<Self, Wrong> {
        let compile = |replace: &Option<Replace>| replace.as_ref().map(Replacer::new).transpose();
        Ok(Rewriter { host: compile(&rewrite.host)?, path: compile(&rewrite.path)? })
    }

    /// Writes the new path with query into `path` and the new `host[:port]` into `host`; each is left empty where it stays as it
    /// was, and both where the rewrite fails. `scratch` is overwritten.
    #[must_use]
    pub fn rewrite(
        &self,
        original: &Original<'_>,
        scratch: &mut Vec<u8>,
        path: &mut Vec<u8>,
        host: &mut Vec<u8>,
    ) -> Transform {
        path.clear();
        host.clear();
        let transform = match self.rewrite_path(original, scratch, path) {
            Transform::Success => self.rewrite_host(original, host),
            failed => failed,
        };
        if transform != Transform::Success {
            path.clear();
            host.clear();
        }
        transform
    }

    fn rewrite_path(&self, original: &Original<'_>, whole: &mut Vec<u8>, out: &mut Vec<u8>) -> Transform {
        let Some(replacer) = &self.path else { return Transform::Success };
        if original.path.first() != Some(&b'/') {
            // `OPTIONS *` is about no path.
            return Transform::Success;
        }
        whole.clear();
        whole.extend_from_slice(original.path);
        if let Some(query) = original.query {
            whole.push(b'?');
            whole.extend_from_slice(query);
        }
        match replacer.replace(whole, PATH_BYTES_MAX, out) {
            Replaced::Not => Transform::Success,
            Replaced::TooLong => Transform::TooLong,
            Replaced::Written if !is_request_target(out) => Transform::InvalidPath,
            Replaced::Written => {
                if out == whole {
                    out.clear();
                }
                Transform::Success
            }
        }
    }

    fn rewrite_host(&self, original: &Original<'_>, out: &mut Vec<u8>) -> Transform {
        let Some(replacer) = &self.host else { return Transform::Success };
        let Some((host, port)) = original.authority.split_at_checked(original.host_bytes) else {
            return Transform::InvalidHost;
        };
        match replacer.replace(host, AUTHORITY_BYTES_MAX, out) {
            Replaced::Not => return Transform::Success,
            Replaced::TooLong => return Transform::TooLong,
            Replaced::Written => {}
        }
        let Some(has_port) = authority_has_port(out) else { return Transform::InvalidHost };
        if !has_port {
            out.extend_from_slice(port);
        }
        if out == original.authority {
            out.clear();
        }
        Transform::Success
    }
}

#[derive(Debug, Clone)]
struct Replacer {
    regex: Regex,
    /// What a match becomes.
    parts: Box<[Part]>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(Box<[u8]>),
    /// A group of the expression, by its number; nothing where it took no part in the match.
    Group(usize),
}

/// What came of a replacement.
enum Replaced {
    Not,
    Written,
    TooLong,
}

impl Replacer {
    fn new(replace: &Replace) -> Result<Self, Wrong> {
        let regex = expression::compile(&replace.regex)?;
        if replace.with.len() > TEXT_BYTES_MAX {
            let what = format!("a replacement of {} bytes is too long", replace.with.len());
            return Err(Wrong::new(what, format!("write at most {TEXT_BYTES_MAX}")));
        }
        let parts = parts(&replace.with)?;
        let groups = regex.captures_len() - 1;
        let missing = parts.iter().find_map(|part| match part {
            Part::Group(group) if *group > groups => Some(*group),
            _ => None,
        });
        if let Some(group) = missing {
            let what =
                format!("the replacement {:?} names group {group}, and the expression has {groups}", replace.with);
            return Err(Wrong::new(what, "put what is to be taken over in ( ), or write $$ for a dollar sign"));
        }
        Ok(Replacer { regex, parts: parts.into() })
    }

    /// Appends `text` with its first match replaced.
    fn replace(&self, text: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Replaced {
        // Finding groups allocates, so it is done only for a replacement that names one.
        if self.parts.iter().all(|part| matches!(part, Part::Text(_) | Part::Group(0))) {
            let Some(found) = self.regex.find(text) else { return Replaced::Not };
            return self.write(text, found.range(), |_| Some(found.as_bytes()), bytes_max, out);
        }
        let Some(groups) = self.regex.captures(text) else { return Replaced::Not };
        let group = |number| groups.get(number).map(|group| group.as_bytes());
        self.write(text, groups.get_match().range(), group, bytes_max, out)
    }

    fn write<'t>(
        &self,
        text: &'t [u8],
        found: std::ops::Range<usize>,
        group: impl Fn(usize) -> Option<&'t [u8]>,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Replaced {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Group(number) => group(*number).unwrap_or_default(),
        });
        for piece in std::iter::once(&text[..found.start]).chain(parts).chain([&text[found.end..]]) {
            if out.len() + piece.len() > bytes_max {
                return Replaced::TooLong;
            }
            out.extend_from_slice(piece);
        }
        Replaced::Written
    }
}

/// `$1` is a group, by one digit, so that `$10` is the first and a zero; `$$` is a dollar sign.
fn parts(with: &str) -> Result<Vec<Part>, Wrong> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    let mut bytes = with.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'$' {
            text.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'$') => text.push(b'$'),
            Some(digit) if digit.is_ascii_digit() => {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
                parts.push(Part::Group(usize::from(digit - b'0')));
            }
            _ => {
                let what = format!("the replacement {with:?} has a dollar sign without a group's number");
                return Err(Wrong::new(what, "write $1 for the first group, $$ for a dollar sign"));
            }
        }
    }
    parts.push(Part::Text(text.into()));
    Ok(parts)
}

/// Origin-form (RFC 9112, 3.2.1). Bytes beyond ASCII pass as they do unchanged.
fn is_request_target(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && target.iter().all(|byte| *byte > b' ' && *byte != 0x7f && *byte != b'#')
}

/// Leaves room for the longest method and the version in the longest request line.
const PATH_BYTES_MAX: usize = REQUEST_LINE_BYTES_MAX - 64;
/// A host has 255 (RFC 1035, 2.3.4), a port six with its colon.
const AUTHORITY_BYTES_MAX: usize = super::hosts::HOST_BYTES_MAX + 6;
