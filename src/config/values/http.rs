//! Values of http listeners, rules and groups.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use toml::de::DeValue;

use super::{Read, choice, expected, name, number, text};
use crate::config::error::{Wrong, quoted};
use crate::config::limits;
use crate::config::raw::StickinessKind;
use crate::config::snapshot::{CheckMethod, Forwarded, HttpVersion, Hygiene, SameSite};
use crate::l7::framing::is_token;

pub(in crate::config) fn hygiene(value: &DeValue<'_>) -> Read<Hygiene> {
    let known = [("monitor", Hygiene::Monitor), ("defensive", Hygiene::Defensive), ("strictest", Hygiene::Strictest)];
    choice(value, &known)
}

pub(in crate::config) fn forwarded(value: &DeValue<'_>) -> Read<Forwarded> {
    let known = [("append", Forwarded::Append), ("preserve", Forwarded::Preserve), ("remove", Forwarded::Remove)];
    choice(value, &known)
}

pub(in crate::config) fn http_version(value: &DeValue<'_>) -> Read<HttpVersion> {
    match text(value)? {
        "2" => Err(Wrong::new("HTTP/2 to targets is not in this version", "write \"1.1\"")),
        _ => choice(value, &[("1.0", HttpVersion::V1_0), ("1.1", HttpVersion::V1_1)]),
    }
}

pub(in crate::config) fn stickiness_kind(value: &DeValue<'_>) -> Read<StickinessKind> {
    match text(value)? {
        later @ "source_ip" => {
            let what = format!("{} stickiness is not in this version", quoted(later));
            Err(Wrong::new(what, "use \"cookie\" or \"app_cookie\""))
        }
        _ => choice(value, &[("cookie", StickinessKind::Cookie), ("app_cookie", StickinessKind::AppCookie)]),
    }
}

pub(in crate::config) fn same_site(value: &DeValue<'_>) -> Read<SameSite> {
    choice(value, &[("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)])
}

pub(in crate::config) fn check_method(value: &DeValue<'_>) -> Read<CheckMethod> {
    choice(value, &[("HEAD", CheckMethod::Head), ("GET", CheckMethod::Get)])
}

/// What a field's value may be: visible, with blanks inside (RFC 9110, 5.5).
pub(in crate::config) fn field_value(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = text(value)?;
    let ends = [typed.as_bytes().first(), typed.as_bytes().last()];
    let is_good = typed.len() <= limits::FIELD_VALUE_BYTES_MAX
        && typed.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && ends.into_iter().all(|end| end.is_some_and(u8::is_ascii_graphic));
    if is_good {
        return Ok(typed.into());
    }
    let mend = format!("use 1 to {} visible ASCII characters", limits::FIELD_VALUE_BYTES_MAX);
    Err(Wrong::new(format!("{} cannot be the value of a header", quoted(typed)), mend))
}

/// A media type, with parameters or without (RFC 9110, 8.3).
pub(in crate::config) fn content_type(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = field_value(value)?;
    let media_type = typed.split(';').next().unwrap_or_default().trim_end();
    if media_type
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind.as_bytes()) && is_token(subtype.as_bytes()))
    {
        return Ok(typed);
    }
    Err(Wrong::new(format!("{} is not a content type", quoted(&typed)), "write it like \"text/html; charset=utf-8\""))
}

/// Host of a condition: `*` and `?` are wildcards.
pub(in crate::config) fn host_pattern(value: &DeValue<'_>) -> Read<Arc<str>> {
    let mend = "write a host such as \"www.example.com\" or \"*.example.com\"";
    let typed = value.as_str().ok_or_else(|| expected("a host", value, mend))?;
    if let Some((host, port)) = typed.rsplit_once(':')
        && !host.contains(':')
        && port.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*')
    {
        let what = format!("{} has a port, and the host is compared without it", quoted(typed));
        return Err(Wrong::new(what, format!("write {}", quoted(host))));
    }
    let is_address = typed.starts_with('[');
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._*?".contains(&byte) || (is_address && b"[:]".contains(&byte));
    if is_made_of(typed, limits::PATTERN_BYTES_MAX, allowed) {
        return Ok(typed.into());
    }
    Err(Wrong::new(format!("{} is not a host", quoted(typed)), mend))
}

/// Path of a condition: `*` and `?` are wildcards.
pub(in crate::config) fn path_pattern(value: &DeValue<'_>) -> Read<Arc<str>> {
    let mend = "write a path such as \"/img/*\", { prefix = \"/api/\" } or { regex = \"^/v[0-9]+/\" }";
    let typed = value.as_str().ok_or_else(|| expected("a path", value, mend))?;
    let is_path = typed.starts_with(['/', '*', '?']) && is_made_of(typed, limits::PATTERN_BYTES_MAX, is_visible);
    if is_path { Ok(typed.into()) } else { Err(Wrong::new(format!("{} is not a path", quoted(typed)), mend)) }
}

/// A path and all below it.
pub(in crate::config) fn path_prefix(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = text(value)?;
    if typed.starts_with('/') && is_made_of(typed, limits::PATTERN_BYTES_MAX, is_visible) {
        return Ok(typed.into());
    }
    Err(Wrong::new(format!("{} is not the beginning of a path", quoted(typed)), "write it like \"/api/\""))
}

/// A regular expression by its length; whether it is one is the router's to say.
pub(in crate::config) fn regex(value: &DeValue<'_>) -> Read<Arc<str>> {
    bounded(value, 1, limits::REGEX_BYTES_MAX)
}

/// What a match becomes: it goes into a request's head.
pub(in crate::config) fn replacement(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = text(value)?;
    if typed.is_empty() || is_made_of(typed, limits::REGEX_BYTES_MAX, is_visible) {
        return Ok(typed.into());
    }
    let mend = format!(
        "use at most {} visible ASCII characters without blanks; write others as %20 and so on",
        limits::REGEX_BYTES_MAX
    );
    Err(Wrong::new(format!("{} does not fit a request", quoted(typed)), mend))
}

/// A method, as it is written in requests: in capitals.
pub(in crate::config) fn method(value: &DeValue<'_>) -> Read<Arc<str>> {
    let mend = "write it in capitals, such as \"GET\"";
    let typed = value.as_str().ok_or_else(|| expected("a method", value, mend))?;
    let allowed = |byte: u8| byte.is_ascii_uppercase() || b"-_".contains(&byte);
    if is_made_of(typed, limits::HEADER_NAME_BYTES_MAX, allowed) {
        return Ok(typed.into());
    }
    Err(Wrong::new(format!("{} is not a method", quoted(typed)), mend))
}

/// The name of a header of a condition.
pub(in crate::config) fn header_name(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = text(value)?;
    if typed.eq_ignore_ascii_case("host") {
        return Err(Wrong::new("Host is compared by its own condition", "write host = [\"...\"] in the rule"));
    }
    if typed.len() <= limits::HEADER_NAME_BYTES_MAX && is_token(typed.as_bytes()) {
        return Ok(typed.into());
    }
    let mend = format!("use 1 to {} letters, digits and hyphens", limits::HEADER_NAME_BYTES_MAX);
    Err(Wrong::new(format!("{} is not the name of a header", quoted(typed)), mend))
}

/// A header's value of a condition: `*` and `?` are wildcards.
pub(in crate::config) fn header_value(value: &DeValue<'_>) -> Read<Arc<str>> {
    bounded(value, 1, limits::PATTERN_BYTES_MAX)
}

/// A key or a value of a query in a condition: `*` and `?` are wildcards.
pub(in crate::config) fn text_pattern(value: &DeValue<'_>) -> Read<Arc<str>> {
    bounded(value, 0, limits::PATTERN_BYTES_MAX)
}

/// Clients of a condition.
pub(in crate::config) fn network(value: &DeValue<'_>) -> Read<IpNet> {
    let mend = "write an address and a prefix length, such as \"10.0.0.0/8\"";
    let typed = value.as_str().ok_or_else(|| expected("a network", value, mend))?;
    if let Ok(address) = typed.parse::<std::net::IpAddr>() {
        let what = format!("{address} has no prefix length");
        return Err(Wrong::new(what, format!("write \"{}\" for this one address", IpNet::from(address))));
    }
    let Ok(network) = typed.parse::<IpNet>() else {
        return Err(Wrong::new(format!("{} is not a network", quoted(typed)), mend));
    };
    if let IpNet::V6(v6) = network
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        let what = format!("{network} is IPv4 in IPv6 form, and clients are compared as IPv4");
        return Err(Wrong::new(what, format!("write \"{v4}/{}\"", v6.prefix_len().saturating_sub(96))));
    }
    if network.addr() != network.network() {
        let what = format!("{network} has bits beyond its prefix length");
        return Err(Wrong::new(what, format!("write \"{}\", or \"{}\"", network.trunc(), IpNet::from(network.addr()))));
    }
    Ok(network)
}

/// The group of a forward; the caller has looked for a list.
pub(in crate::config) fn group_name(value: &DeValue<'_>) -> Read<Arc<str>> {
    let mend = "write forward = \"app\", or a list such as [{ group = \"app\", weight = 9 }]";
    value.as_str().ok_or_else(|| expected("a target group", value, mend))?;
    name(value)
}

/// A scheme, or the request's own.
pub(in crate::config) fn redirect_protocol(value: &DeValue<'_>) -> Read<Arc<str>> {
    choice(value, &["http", "https", "#{protocol}"].map(|name| (name, Arc::from(name))))
}

/// A port, or the request's own.
pub(in crate::config) fn redirect_port(value: &DeValue<'_>) -> Read<Arc<str>> {
    match value {
        DeValue::String(typed) if typed == "#{port}" => Ok("#{port}".into()),
        DeValue::Integer(_) => number(&limits::PORT)(value).map(|port| port.to_string().into()),
        _ => Err(expected("a port", value, "write a number such as 443, or \"#{port}\"")),
    }
}

pub(in crate::config) fn redirect_host(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = template(value, "a host such as \"www.example.com\" or \"m.#{host}\"")?;
    let outside = PLACEHOLDERS.iter().fold(typed.to_string(), |text, placeholder| text.replace(placeholder, ""));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !typed.is_empty() && outside.bytes().all(allowed) {
        return Ok(typed);
    }
    let mend = "write a host such as \"www.example.com\" or \"m.#{host}\"; the port has its own key";
    Err(Wrong::new(format!("{} is not a host", quoted(&typed)), mend))
}

pub(in crate::config) fn redirect_path(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = template(value, "a path such as \"/new/#{path}\"")?;
    if !typed.starts_with('/') {
        let what = format!("{} does not begin with a slash", quoted(&typed));
        return Err(Wrong::new(
            what,
            "write a path such as \"/new/#{path}\"; #{path} stands for the path without its slash",
        ));
    }
    if typed.contains(['?', '#'])
        && PLACEHOLDERS.iter().fold(typed.to_string(), |t, p| t.replace(p, "")).contains(['?', '#'])
    {
        return Err(Wrong::new(
            format!("{} is more than a path", quoted(&typed)),
            "put what follows the question mark into query",
        ));
    }
    Ok(typed)
}

pub(in crate::config) fn redirect_query(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = template(value, "a query such as \"from=old&#{query}\"")?;
    if typed.starts_with('?') {
        return Err(Wrong::new(format!("{} begins with a question mark", quoted(&typed)), "leave it out: it is added"));
    }
    Ok(typed)
}

/// What a redirect puts together: visible text and placeholders that there are.
fn template(value: &DeValue<'_>, what: &str) -> Read<Arc<str>> {
    let mend = format!("write {what}");
    let typed = value.as_str().ok_or_else(|| expected("text", value, &mend))?;
    if !typed.is_empty() && !is_made_of(typed, limits::PATTERN_BYTES_MAX, is_visible) {
        return Err(Wrong::new(format!("{} does not fit a Location", quoted(typed)), mend));
    }
    let unknown = typed.match_indices("#{").find_map(|(at, _)| {
        let rest = &typed[at..];
        let is_known = PLACEHOLDERS.iter().any(|placeholder| rest.starts_with(placeholder));
        (!is_known).then(|| rest.split_inclusive('}').next().unwrap_or(rest))
    });
    match unknown {
        Some(unknown) => {
            let mend = format!("the placeholders are {}", PLACEHOLDERS.join(", "));
            Err(Wrong::new(format!("{} is no placeholder", quoted(unknown)), mend))
        }
        None => Ok(typed.into()),
    }
}

/// What a redirect can take over from the request. ALB.
const PLACEHOLDERS: [&str; 5] = ["#{protocol}", "#{host}", "#{port}", "#{path}", "#{query}"];

/// Status of a fixed response. ALB; what 3xx would say needs a Location.
pub(in crate::config) fn fixed_status(value: &DeValue<'_>) -> Read<u16> {
    let status = number(&(200..=599))(value)?;
    if status / 100 == 3 {
        return Err(Wrong::new(format!("{status} needs a place to go to"), "choose 2xx, 4xx or 5xx, or use redirect"));
    }
    Ok(status)
}

pub(in crate::config) fn fixed_content_type(value: &DeValue<'_>) -> Read<Arc<str>> {
    choice(value, &limits::FIXED_RESPONSE_CONTENT_TYPES.map(|name| (name, Arc::from(name))))
}

pub(in crate::config) fn fixed_body(value: &DeValue<'_>) -> Read<Arc<str>> {
    bounded(value, 0, limits::FIXED_RESPONSE_BYTES_MAX)
}

/// A cookie's name (RFC 6265, 4.1.1).
pub(in crate::config) fn cookie_name(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = text(value)?;
    if typed.len() <= limits::NAME_BYTES_MAX && is_token(typed.as_bytes()) {
        return Ok(typed.into());
    }
    let mend = format!("use 1 to {} letters, digits, hyphens and underscores", limits::NAME_BYTES_MAX);
    Err(Wrong::new(format!("{} is not the name of a cookie", quoted(typed)), mend))
}

/// Path of a check, with a query where there is one.
pub(in crate::config) fn check_path(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = text(value)?;
    let allowed = |byte: u8| is_visible(byte) && byte != b'#';
    if typed.starts_with('/') && is_made_of(typed, limits::CHECK_PATH_BYTES_MAX, allowed) {
        return Ok(typed.into());
    }
    let mend = format!("write at most {} visible characters such as \"/healthz\"", limits::CHECK_PATH_BYTES_MAX);
    Err(Wrong::new(format!("{} is not a path", quoted(typed)), mend))
}

/// `Host` of a check, with a port where it should have one.
pub(in crate::config) fn check_host(value: &DeValue<'_>) -> Read<Arc<str>> {
    let typed = text(value)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte);
    if is_made_of(typed, limits::FIELD_VALUE_BYTES_MAX, allowed) {
        return Ok(typed.into());
    }
    Err(Wrong::new(format!("{} is not a host", quoted(typed)), "write it like \"app.example.com\""))
}

/// Statuses: `"200-399,418"`.
pub(in crate::config) fn matcher(value: &DeValue<'_>) -> Read<Vec<RangeInclusive<u16>>> {
    let mend = "write statuses and ranges of them in quotes, such as \"200-399\" or \"200,204,418\"";
    let typed = value.as_str().ok_or_else(|| expected("statuses", value, mend))?;
    let status = |text: &str| {
        let status = text.trim().parse().ok().filter(|_| text.trim().bytes().all(|byte| byte.is_ascii_digit()));
        status.ok_or_else(|| Wrong::new(format!("{} is not a matcher", quoted(typed)), mend))
    };
    let mut ranges = Vec::new();
    for part in typed.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range: RangeInclusive<u16> = status(first)?..=status(last)?;
        let bounds = limits::CHECK_STATUS;
        if range.is_empty() || !bounds.contains(range.start()) || !bounds.contains(range.end()) {
            let mend = format!("choose statuses from {} to {}, the lower first", bounds.start(), bounds.end());
            return Err(Wrong::new(format!("{} is no range of statuses", quoted(part.trim())), mend));
        }
        ranges.push(range);
    }
    Ok(ranges)
}

/// Any text of so many bytes.
fn bounded(value: &DeValue<'_>, bytes_min: usize, bytes_max: usize) -> Read<Arc<str>> {
    let typed = text(value)?;
    if (bytes_min..=bytes_max).contains(&typed.len()) {
        return Ok(typed.into());
    }
    let what = if typed.is_empty() { "it is empty".to_owned() } else { format!("it has {} bytes", typed.len()) };
    Err(Wrong::new(what, format!("write {bytes_min} to {bytes_max} bytes")))
}

fn is_made_of(typed: &str, bytes_max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=bytes_max).contains(&typed.len()) && typed.bytes().all(allowed)
}

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}
