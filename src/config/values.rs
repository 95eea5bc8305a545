//! One typed value each: what TOML holds there, checked against its limits.
//!
//! Each function takes the value as parsed and gives the typed value or what is wrong with it; none knows its key.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::error::{Wrong, did_you_mean, quoted};
use super::snapshot::{AdminAddress, Algorithm, CheckProtocol, Cores, Protocol, Scheme, TargetKind};
use super::{limits, private};

pub(super) type Read<T> = Result<T, Wrong>;

/// Which ports listeners may have (requirement L5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortPolicy {
    Any,
    Clb,
}

pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Read<&'v str> {
    value.as_str().ok_or_else(|| expected("a string", value, "put it in quotes"))
}

pub(super) fn boolean(value: &DeValue<'_>) -> Read<bool> {
    value.as_bool().ok_or_else(|| expected("true or false", value, "write true or false, without quotes"))
}

/// A name or an id: it appears in logs and as a metric label.
pub(super) fn name(value: &DeValue<'_>) -> Read<Arc<str>> {
    let name = text(value)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=limits::NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name.into());
    }
    let mend = format!("use 1 to {} letters, digits, dots, underscores or hyphens", limits::NAME_BYTES_MAX);
    Err(Wrong::new(format!("{} is not a name", quoted(name)), mend))
}

pub(super) fn duration(range: &RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Read<Duration> {
    move |value| {
        let mend = "write a number and a unit in quotes, such as \"5s\" or \"300ms\"";
        let typed = value.as_str().ok_or_else(|| expected("a duration", value, mend))?;
        let Ok(duration) = humantime::parse_duration(typed) else {
            return Err(Wrong::new(format!("{} is not a duration", quoted(typed)), mend));
        };
        if range.contains(&duration) {
            return Ok(duration);
        }
        let mend = format!("choose {:?} to {:?}", range.start(), range.end());
        Err(Wrong::new(format!("{} is out of range", quoted(typed)), mend))
    }
}

pub(super) fn number<T>(range: &RangeInclusive<T>) -> impl Fn(&DeValue<'_>) -> Read<T>
where
    T: Copy + Display + PartialOrd + TryFrom<i64>,
{
    move |value| {
        let mend = "write it in digits, without quotes";
        let typed = value.as_integer().ok_or_else(|| expected("a whole number", value, mend))?;
        let number = integer(typed).and_then(|number| T::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let mend = format!("choose {} to {}", range.start(), range.end());
            Wrong::new(format!("{} is out of range", cut(&typed.to_string())), mend)
        })
    }
}

/// Where a listener binds: any address of ours, or all of them.
pub(super) fn bind_address(value: &DeValue<'_>) -> Read<SocketAddr> {
    let mend = "write an IP address and a port, such as \"0.0.0.0:80\" or \"[::]:80\"";
    let typed = value.as_str().ok_or_else(|| expected("an address and port", value, mend))?;
    let Ok(address) = typed.parse::<SocketAddr>() else {
        return Err(Wrong::new(format!("{} is not an address and port", quoted(typed)), mend));
    };
    if address.port() == 0 {
        return Err(Wrong::new("port 0 cannot be reached by anyone", "choose a port from 1 to 65535"));
    }
    private::check_bindable(address.ip()).map(|_| address)
}

/// Where a target answers, or where checks leave from: one machine.
pub(super) fn unicast(value: &DeValue<'_>) -> Read<IpAddr> {
    let mend = "write an IP address, such as \"10.0.0.5\"";
    let typed = value.as_str().ok_or_else(|| expected("an IP address", value, mend))?;
    if let Ok(address) = typed.parse::<SocketAddr>() {
        let mend = format!("write \"{}\" here and the port under its own key", address.ip());
        return Err(Wrong::new(format!("{} has a port", quoted(typed)), mend));
    }
    let ip = typed.parse().map_err(|_| Wrong::new(format!("{} is not an IP address", quoted(typed)), mend))?;
    private::check_unicast(ip)
}

pub(super) fn admin_address(value: &DeValue<'_>) -> Read<AdminAddress> {
    let Some(path) = value.as_str().and_then(|typed| typed.strip_prefix("unix:")) else {
        return bind_address(value).map(AdminAddress::Tcp);
    };
    let fits = (2..=limits::UNIX_PATH_BYTES_MAX).contains(&path.len());
    if path.starts_with('/') && fits && !path.contains('\0') {
        return Ok(AdminAddress::Unix(path.into()));
    }
    let mend = format!(
        "write an absolute path of at most {} bytes, such as \"unix:/run/weir.sock\"",
        limits::UNIX_PATH_BYTES_MAX
    );
    Err(Wrong::new(format!("{} is not the path of a socket", quoted(path)), mend))
}

pub(super) fn path(value: &DeValue<'_>) -> Read<PathBuf> {
    let path = text(value)?;
    if !path.is_empty() && !path.contains('\0') {
        return Ok(path.into());
    }
    Err(Wrong::new(format!("{} is not a path", quoted(path)), "name a file, such as \"/etc/weir/token\""))
}

/// `"all"`, a count, or a list of core numbers.
pub(super) fn cores(value: &DeValue<'_>) -> Read<Cores> {
    let mend = "write \"all\", a count such as 4, or a list such as [2, 3]";
    match value {
        DeValue::String(typed) if typed == "all" => Ok(Cores::All),
        DeValue::Integer(_) => number(&(1..=limits::CORES_MAX))(value).map(Cores::Count),
        DeValue::Array(array) => core_list(array.iter().map(toml::Spanned::get_ref)),
        _ => Err(expected("cores", value, mend)),
    }
}

fn core_list<'v, 'i: 'v>(values: impl Iterator<Item = &'v DeValue<'i>>) -> Read<Cores> {
    let core = number(&(0..=limits::CORES_MAX - 1));
    let mut list = Vec::new();
    for value in values {
        let core = core(value).map_err(|wrong| Wrong { what: format!("core {}", wrong.what), ..wrong })?;
        if list.contains(&core) {
            return Err(Wrong::new(format!("core {core} is listed twice"), "list each core once"));
        }
        list.push(core);
    }
    if list.is_empty() {
        return Err(Wrong::new("the list is empty", "name at least one core, or write \"all\""));
    }
    Ok(Cores::List(list))
}

pub(super) fn scheme(value: &DeValue<'_>) -> Read<Scheme> {
    choice(value, &[("internet-facing", Scheme::InternetFacing), ("internal", Scheme::Internal)])
}

pub(super) fn port_policy(value: &DeValue<'_>) -> Read<PortPolicy> {
    choice(value, &[("any", PortPolicy::Any), ("clb", PortPolicy::Clb)])
}

/// Protocol of a listener or a target group.
pub(super) fn protocol(value: &DeValue<'_>) -> Read<Protocol> {
    match text(value)? {
        later @ ("udp" | "tcp_ssl" | "tls" | "https") => Err(Wrong::new(
            format!("{} is not served: this version serves tcp and http", quoted(later)),
            "write protocol = \"tcp\" or protocol = \"http\"",
        )),
        _ => choice(value, &[("tcp", Protocol::Tcp), ("http", Protocol::Http)]),
    }
}

pub(super) fn algorithm(value: &DeValue<'_>) -> Read<Algorithm> {
    let known = [
        ("weighted_round_robin", Algorithm::WeightedRoundRobin),
        ("least_connections", Algorithm::LeastConnections),
        ("least_outstanding_requests", Algorithm::LeastOutstandingRequests),
    ];
    match text(value)? {
        later @ ("source_ip_hash" | "weighted_random" | "maglev") => Err(Wrong::new(
            format!("{} is not in this version", quoted(later)),
            "use \"weighted_round_robin\", or \"least_connections\" (tcp), or \"least_outstanding_requests\" (http)",
        )),
        _ => choice(value, &known),
    }
}

/// `None` is `"none"`: no checks.
pub(super) fn check_protocol(value: &DeValue<'_>) -> Read<Option<CheckProtocol>> {
    match text(value)? {
        later @ ("http" | "https" | "udp" | "grpc" | "custom") => Err(Wrong::new(
            format!("{} checks are not in this version, which checks by tcp only", quoted(later)),
            "write protocol = \"tcp\", or \"none\" to switch checks off",
        )),
        _ => choice(value, &[("tcp", Some(CheckProtocol::Tcp)), ("none", None)]),
    }
}

pub(super) fn target_kind(value: &DeValue<'_>) -> Read<TargetKind> {
    match text(value)? {
        "idc" => Err(Wrong::new(
            "\"idc\" targets are reached through cross_network, which this version does not have yet",
            "use \"cvm\" or \"eni\"",
        )),
        _ => choice(value, &[("cvm", TargetKind::Cvm), ("eni", TargetKind::Eni)]),
    }
}

/// One of a closed set of strings.
fn choice<T: Clone>(value: &DeValue<'_>, known: &[(&str, T)]) -> Read<T> {
    let typed = text(value)?;
    if let Some((_, chosen)) = known.iter().find(|(name, _)| *name == typed) {
        return Ok(chosen.clone());
    }
    let names = || known.iter().map(|(name, _)| *name);
    let list = || format!("choose {}", names().map(quoted).collect::<Vec<_>>().join(" or "));
    Err(Wrong::new(format!("{} is not known", quoted(typed)), did_you_mean(typed, names(), list)))
}

pub(super) fn expected(what: &str, value: &DeValue<'_>, mend: &str) -> Wrong {
    let found = match value {
        DeValue::String(typed) => format!("the string {}", quoted(typed)),
        DeValue::Integer(typed) => format!("the number {}", cut(&typed.to_string())),
        DeValue::Float(typed) => format!("the number {}", cut(typed.as_str())),
        DeValue::Boolean(typed) => typed.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    Wrong::new(format!("expected {what}, found {found}"), mend)
}

/// A number as typed, if it is not endless.
fn cut(typed: &str) -> &str {
    typed.get(..limits::NAME_BYTES_MAX).unwrap_or(typed)
}

fn integer(typed: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(typed.as_str(), typed.radix()).ok()
}
