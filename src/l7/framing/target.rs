//! The request target (RFC 9112, 3.2) and the authority that it or `Host` names (RFC 9110, 4.2 and 7.2).
//!
//! ```text
//!     /path?query            origin      what everybody sends
//!     http://host/path?query absolute    its authority wins over Host
//!     host:port              authority   CONNECT only
//!     *                      asterisk    OPTIONS only
//! ```

use std::net::Ipv6Addr;
use std::ops::Range;

use super::hygiene::{Class, Findings, Reason, Refused};
use super::length::alphanumerics_and;

/// The four forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    #[default]
    Origin,
    Absolute,
    Authority,
    Asterisk,
}

/// A target that was taken apart; ranges within the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Parts {
    pub(super) form: Form,
    /// Of absolute-form and authority-form.
    pub(super) authority: Option<Range<usize>>,
    /// Empty in authority-form, and in absolute-form where none is given.
    pub(super) path: Range<usize>,
    /// Without its question mark.
    pub(super) query: Option<Range<usize>>,
}

/// Takes `target` apart. httparse has seen to it that it has no spaces and no control bytes.
pub(super) fn parse(method: &[u8], target: &[u8], findings: &mut Findings) -> Result<Parts, Refused> {
    if method == b"CONNECT" {
        return match split_authority(target) {
            Some(Authority { port: Some(_), .. }) => {
                let authority = Some(0..target.len());
                Ok(Parts { form: Form::Authority, authority, ..Parts::default() })
            }
            _ => Err(Refused::bad("CONNECT without host:port", Reason::BadUri)),
        };
    }
    let parts = match target.first() {
        Some(b'/') => from_path(Form::Origin, None, target, 0),
        Some(b'*') if target.len() == 1 && method == b"OPTIONS" => {
            return Ok(Parts { form: Form::Asterisk, path: 0..1, ..Parts::default() });
        }
        _ => absolute(target)?,
    };
    // Raw UTF-8, which many clients send: no RFC allows it, and nobody is confused by it.
    if !target.is_ascii() {
        findings.add(Class::Acceptable, Reason::AmbiguousUri);
    }
    // A fragment never leaves a client that follows RFC 9110, 4.2.5. Some targets cut there, some do not: we do.
    if memchr::memchr(b'#', target).is_some() {
        findings.add(Class::Ambiguous, Reason::AmbiguousUri);
    }
    Ok(parts)
}

fn absolute(target: &[u8]) -> Result<Parts, Refused> {
    const BAD: Refused = Refused::bad("request target in no known form", Reason::BadUri);
    let after = |scheme: &str| {
        let start = target.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(scheme.len())
    };
    let at = after("http://").or_else(|| after("https://")).ok_or(BAD)?;
    let length = target[at..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let end = length.map_or(target.len(), |length| at + length);
    if split_authority(&target[at..end]).is_none() {
        return Err(Refused::bad("request target with a malformed authority", Reason::BadUri));
    }
    Ok(from_path(Form::Absolute, Some(at..end), target, end))
}

fn from_path(form: Form, authority: Option<Range<usize>>, target: &[u8], at: usize) -> Parts {
    let end = memchr::memchr(b'#', &target[at..]).map_or(target.len(), |length| at + length);
    let question_mark = memchr::memchr(b'?', &target[at..end]).map(|length| at + length);
    let path = at..question_mark.unwrap_or(end);
    Parts { form, authority, path, query: question_mark.map(|mark| mark + 1..end) }
}

/// A host and its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority {
    /// Length of the host, brackets included; it comes first.
    pub(super) host_length: usize,
    pub(super) port: Option<u16>,
}

/// Whether an authority names a port; `None` when it is no authority.
pub(in crate::l7) fn authority_has_port(authority: &[u8]) -> Option<bool> {
    split_authority(authority).map(|parts| authority.len() > parts.host_length)
}

/// `host [":" port]` (RFC 9112, 3.2): no user information, no empty host, nothing that could be cut in two ways.
pub(super) fn split_authority(authority: &[u8]) -> Option<Authority> {
    let host_length = if authority.first() == Some(&b'[') {
        let end = memchr::memchr(b']', authority)?;
        let address = std::str::from_utf8(&authority[1..end]).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        end + 1
    } else {
        let length = authority.iter().position(|byte| !is_host_byte(*byte)).unwrap_or(authority.len());
        if length == 0 {
            return None;
        }
        length
    };
    let port = match &authority[host_length..] {
        // An empty port is as good as none (RFC 3986, 3.2.3).
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(port(digits)?),
        _ => return None,
    };
    Some(Authority { host_length, port })
}

fn port(digits: &[u8]) -> Option<u16> {
    let is_number = digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
    if is_number { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

fn is_host_byte(byte: u8) -> bool {
    HOST_BYTES[usize::from(byte)]
}

/// reg-name of RFC 3986, 3.2.2, without the comma: a list of two hosts looks like one.
static HOST_BYTES: [bool; 256] = alphanumerics_and(b"-._~%!$&'()*+;=");
