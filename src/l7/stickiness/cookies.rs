//! Cookies on the wire: found in a request, written for a response.
//!
//! `Cookie` is read as servers do (RFC 6265, 4.2 and 5.4): pairs between semicolons, white space around names and values does
//! not count, and what is no pair is passed over: browsers send what some script has stored.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use memchr::memchr;

use crate::config::{SameSite, Stickiness};

use super::keys::Keys;
use super::value::{Scope, Tag};

/// The values of the cookies of this name (case counts), in order, from the values of a request's `Cookie` fields.
pub fn cookie<'v>(fields: impl Iterator<Item = &'v [u8]>, name: &str) -> impl Iterator<Item = &'v [u8]> {
    pairs(fields).filter_map(move |(found, value)| (found == name.as_bytes()).then_some(value))
}

/// Whom this client stays with, by the `Cookie` fields of its request; `None`: it has no session, or it is over.
///
/// Under S2 a companion counts only together with the cookie that it follows.
#[must_use]
pub fn session<'v>(
    keys: &Keys,
    scope: Scope<'_>,
    stickiness: &Stickiness,
    fields: impl Iterator<Item = &'v [u8]>,
    now: u64,
) -> Option<Tag> {
    let mut tag = None;
    let mut left = COOKIES_OPENED_MAX;
    let mut is_followed = stickiness.app_cookie.is_none();
    for (name, value) in pairs(fields) {
        if name == stickiness.cookie.as_bytes() && tag.is_none() && left > 0 {
            tag = keys.open(scope, value, now, stickiness.duration);
            left -= 1;
        }
        is_followed = is_followed || stickiness.app_cookie.as_deref().is_some_and(|cookie| name == cookie.as_bytes());
    }
    tag.filter(|_| is_followed)
}

/// Whether a response is to carry our cookie: always under S1, as each response refreshes it; under S2 when the target sets the
/// cookie that ours follows, or the client still sends it.
///
/// A response that takes the followed cookie away makes no difference: without it the companion does not count.
#[must_use]
pub fn is_due<'v>(
    stickiness: &Stickiness,
    fields: impl Iterator<Item = &'v [u8]>,
    mut set_cookies: impl Iterator<Item = &'v [u8]>,
) -> bool {
    let Some(followed) = stickiness.app_cookie.as_deref() else { return true };
    let sets = |set_cookie: &[u8]| {
        let pair = between_semicolons(set_cookie).next().and_then(name_and_value);
        pair.is_some_and(|(name, _)| name == followed.as_bytes())
    };
    set_cookies.any(sets) || cookie(fields, followed).next().is_some()
}

/// Appends the line of a response that sets our cookie (RFC 6265bis, 4.1).
pub fn set_cookie_line(stickiness: &Stickiness, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Set-Cookie: ");
    out.extend_from_slice(stickiness.cookie.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
    out.extend_from_slice(b"; Path=/; Max-Age=");
    out.extend_from_slice(itoa::Buffer::new().format(stickiness.duration.as_secs()).as_bytes());
    out.extend_from_slice(b"; HttpOnly");
    if stickiness.secure {
        out.extend_from_slice(b"; Secure");
    }
    out.extend_from_slice(match stickiness.same_site {
        None => b"\r\n".as_slice(),
        Some(SameSite::Strict) => b"; SameSite=Strict\r\n",
        Some(SameSite::Lax) => b"; SameSite=Lax\r\n",
        Some(SameSite::None) => b"; SameSite=None\r\n",
    });
}

/// Group stickiness of a rule (requirement R3) as the stickiness that it is. Made once a rule.
///
/// The cookie's name has the rule's priority in it: of two such rules on one host, each would else overwrite the other's cookie
/// with every response, and neither would hold its clients.
#[must_use]
pub fn of_rule(rule: Option<u16>, duration: Duration) -> Stickiness {
    let cookie: Arc<str> = match rule {
        None => GROUP_COOKIE.into(),
        Some(priority) => format!("{GROUP_COOKIE}{priority}").into(),
    };
    Stickiness { cookie, app_cookie: None, duration, secure: false, same_site: None }
}

/// The cookies of a request, in order.
fn pairs<'v>(fields: impl Iterator<Item = &'v [u8]>) -> impl Iterator<Item = (&'v [u8], &'v [u8])> {
    let pairs = fields.flat_map(between_semicolons).filter_map(name_and_value);
    pairs.map(|(name, value)| (name, unquoted(value)))
}

/// `split`, by `memchr`: each request's cookies go through here, and this takes less than half the time.
fn between_semicolons(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    iter::from_fn(move || {
        let field = rest?;
        let end = memchr(b';', field).unwrap_or(field.len());
        rest = field.get(end + 1..);
        Some(&field[..end])
    })
}

/// `name=value`, each without white space around it. Without `=` it is a value without a name (RFC 6265bis, 5.7).
fn name_and_value(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr(b'=', pair)?;
    Some((pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii()))
}

/// A value may stand in quotes (RFC 6265, 4.1.1).
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    }
}

/// Most cookies of our name that are looked into: each may cost a hash for every key, and a head of 64 KiB holds a thousand.
/// Browsers send one.
const COOKIES_OPENED_MAX: usize = 4;
/// What group stickiness is kept in (ALB's is AWSALBTG).
const GROUP_COOKIE: &str = "WEIRTG";
