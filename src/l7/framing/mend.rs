//! A head that httparse does not take, or whose lines end in LF alone, written anew as one that it takes.
//!
//! ```text
//!     head --line by line--> mended head --httparse--> as any other
//!                 `-- nothing to mend: refused
//! ```
//!
//! This is the rare branch. It decides nothing about framing: what it writes is read again by the one parser that does. So it
//! never touches the value of a field that decides about framing or routing; one that would need it is refused.
//! What each RFC says about mending is by each step.

use super::fields::{Kind, is_lookalike, trim};
use super::hygiene::{Class, Findings, Reason, Refused};
use super::length::{is_token, is_token_byte};
use super::lines::Lines;

/// Whose head it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Request,
    Response,
}

/// Writes the request head `raw` anew into `mended`. `findings` takes what was wrong.
#[cold]
pub(super) fn request(raw: &[u8], lines: &Lines, findings: &mut Findings, mended: &mut Vec<u8>) -> Result<(), Refused> {
    if lines.are_mixed() {
        // RFC 9112, 2.2 lets us take LF for a line's end. Who uses both kinds hopes that somebody else does not.
        findings.add(Class::Severe, Reason::BadHeader);
    } else if lines.has_bare_lf() {
        findings.add(Class::Acceptable, Reason::NonCompliantHeader);
    }
    let (first, rest) = split_line(raw);
    request_line(first, findings, mended)?;
    fields(rest, Of::Request, findings, mended)
}

/// Writes the response head `raw` anew into `mended`; `Err` says what is wrong.
#[cold]
pub(super) fn response(raw: &[u8], mended: &mut Vec<u8>) -> Result<(), &'static str> {
    let (first, rest) = split_line(raw);
    mended.clear();
    mended.extend_from_slice(first);
    mended.extend_from_slice(b"\r\n");
    fields(rest, Of::Response, &mut Findings::default(), mended).map_err(|refused| refused.why)
}

/// The method up to the first space, the version behind the last one.
fn request_line(line: &[u8], findings: &mut Findings, mended: &mut Vec<u8>) -> Result<(), Refused> {
    const NO_VERSION: Refused = Refused::bad("request line without a version", Reason::BadVersion);
    let blanks = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let trimmed = &line[..line.len() - blanks];
    if blanks > 0 {
        findings.add(Class::Acceptable, Reason::NonCompliantVersion);
    }
    let method_end = memchr::memchr(b' ', trimmed).ok_or(NO_VERSION)?;
    let target_end = memchr::memrchr(b' ', trimmed).unwrap_or(method_end);
    let (method, version) = (&trimmed[..method_end], &trimmed[target_end + 1..]);
    if !is_token(method) {
        return Err(Refused::bad("method is not a token", Reason::BadMethod));
    }
    let version = known_version(version, findings)?;
    if target_end <= method_end {
        return Err(NO_VERSION);
    }
    let target = &trimmed[method_end + 1..target_end];
    mended.clear();
    mended.extend_from_slice(method);
    mended.push(b' ');
    self::target(target, findings, mended)?;
    mended.extend_from_slice(version);
    Ok(())
}

/// RFC 9110, 2.5: a higher minor version than ours is read as ours.
fn known_version(version: &[u8], findings: &mut Findings) -> Result<&'static [u8], Refused> {
    match version {
        b"HTTP/1.1" => Ok(b" HTTP/1.1\r\n"),
        b"HTTP/1.0" => Ok(b" HTTP/1.0\r\n"),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => {
            findings.add(Class::Acceptable, Reason::NonCompliantVersion);
            Ok(b" HTTP/1.1\r\n")
        }
        [b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9', b'.', b'0'..=b'9'] | b"HTTP/2" | b"HTTP/3" => {
            Err(Refused::new(505, "HTTP version is not 1.x", Reason::BadVersion))
        }
        _ => Err(Refused::bad("HTTP version cannot be read", Reason::BadVersion)),
    }
}

/// RFC 9112, 3.2 would rather have it refused than mended, so only monitor lets it through; encoded, so that the router and
/// the target see the same.
fn target(target: &[u8], findings: &mut Findings, mended: &mut Vec<u8>) -> Result<(), Refused> {
    let stripped = trim(target);
    if stripped.is_empty() {
        return Err(Refused::bad("request line without a target", Reason::BadUri));
    }
    if stripped.len() < target.len() {
        findings.add(Class::Severe, Reason::SpaceInUri);
    }
    for byte in stripped {
        match byte {
            b'\r' | 0 => return Err(Refused::bad("NUL or CR in the request target", Reason::BadUri)),
            b' ' => findings.add(Class::Severe, Reason::SpaceInUri),
            0x01..=0x1f | 0x7f => findings.add(Class::Severe, Reason::BadUri),
            _ => {
                mended.push(*byte);
                continue;
            }
        }
        let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
        mended.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
    }
    Ok(())
}

/// What the last field that was written is, for a line that goes on with it.
enum Last {
    None,
    /// It may be continued.
    Written,
    /// It was left out, and so is what continues it.
    Dropped,
    /// It decides about framing or routing.
    Essential,
}

fn fields(mut rest: &[u8], of: Of, findings: &mut Findings, mended: &mut Vec<u8>) -> Result<(), Refused> {
    let mut last = Last::None;
    loop {
        let (line, after) = split_line(rest);
        rest = after;
        if line.is_empty() {
            mended.extend_from_slice(b"\r\n");
            return Ok(());
        }
        if let b' ' | b'\t' = line[0] {
            continued(line, &last, findings, mended)?;
            continue;
        }
        last = field(line, of, findings, mended)?;
    }
}

/// obs-fold (RFC 9112, 5.2): replaced by a space.
fn continued(line: &[u8], last: &Last, findings: &mut Findings, mended: &mut Vec<u8>) -> Result<(), Refused> {
    findings.add(Class::Ambiguous, Reason::NonCompliantHeader);
    match last {
        Last::None => return Err(Refused::bad("whitespace ahead of the first field", Reason::BadHeader)),
        Last::Essential => return Err(Refused::bad("a field that decides about framing is folded", Reason::BadHeader)),
        Last::Dropped => return Ok(()),
        Last::Written => {}
    }
    mended.truncate(mended.len() - 2);
    mended.push(b' ');
    value(trim(line), findings, mended);
    mended.extend_from_slice(b"\r\n");
    Ok(())
}

fn field(line: &[u8], of: Of, findings: &mut Findings, mended: &mut Vec<u8>) -> Result<Last, Refused> {
    let colon = memchr::memchr(b':', line).ok_or(Refused::bad("a field without a colon", Reason::BadHeader))?;
    let (mut name, text) = (&line[..colon], trim(&line[colon + 1..]));
    if let [.., b' ' | b'\t'] = name {
        // RFC 9112, 5.1: a request is refused, in a response the whitespace is taken out.
        if of == Of::Request {
            return Err(Refused::bad("whitespace between a field's name and its colon", Reason::BadHeader));
        }
        name = trim(name);
    }
    if name.is_empty() {
        findings.add(Class::Ambiguous, Reason::EmptyHeader);
        return Ok(Last::Dropped);
    }
    if !is_token(name) {
        return odd_name(name, findings);
    }
    let kind = Kind::of(name);
    let is_essential = !matches!(kind, Kind::Plain | Kind::HopByHop | Kind::Lookalike);
    let has_controls = text.iter().any(|byte| is_control(*byte));
    if is_essential && (has_controls || name.len() < colon) {
        return Err(Refused::bad("control bytes in a field that decides about framing", Reason::BadHeader));
    }
    mended.extend_from_slice(name);
    mended.extend_from_slice(b": ");
    value(text, findings, mended);
    mended.extend_from_slice(b"\r\n");
    Ok(if is_essential { Last::Essential } else { Last::Written })
}

/// A name that is no token cannot be sent on. Delimiters and bytes above ASCII cost the client its field; anything that
/// another parser may cut the name at costs it the request.
fn odd_name(name: &[u8], findings: &mut Findings) -> Result<Last, Refused> {
    let is_harmless = |byte: u8| is_token_byte(byte) || (byte.is_ascii_graphic() || byte >= 0x80);
    if !name.iter().all(|byte| is_harmless(*byte)) {
        return Err(Refused::bad("whitespace or control bytes in a field's name", Reason::BadHeader));
    }
    if is_lookalike(name) {
        findings.add(Class::Ambiguous, Reason::SuspiciousHeader);
    } else {
        findings.add(Class::Acceptable, Reason::NonCompliantHeader);
    }
    Ok(Last::Dropped)
}

/// RFC 9110, 5.5: CR, LF and NUL are replaced by a space, or the message refused. We replace the other control bytes too.
fn value(text: &[u8], findings: &mut Findings, mended: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\r' | 0 => findings.add(Class::Severe, Reason::BadHeader),
            byte if is_control(*byte) => findings.add(Class::Acceptable, Reason::NonCompliantHeader),
            _ => {
                mended.push(*byte);
                continue;
            }
        }
        mended.push(b' ');
    }
}

/// Not allowed in a value (RFC 9110, 5.5).
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// The first line without its end, and what follows. What is missing its end is all one line.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(lf) = memchr::memchr(b'\n', text) else { return (text, &[]) };
    let line = &text[..lf];
    (line.strip_suffix(b"\r").unwrap_or(line), &text[lf + 1..])
}
