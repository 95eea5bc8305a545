//! One typed value each: what TOML holds there, checked against its limits.
//!
//! Each function takes the value as parsed and gives the typed value or what is wrong with it; none knows its key.

pub(super) mod acl;
pub(super) mod http;

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use toml::de::{DeInteger, DeValue};

use super::error::{Wrong, did_you_mean, quoted};
use super::snapshot::{AdminAddress, Algorithm, Cores, LogFormat, Managed, Protocol, Scheme, TargetKind};
use super::{limits, private};
use crate::inventory::{CrossRegion, HealthType, Id, InstanceState, WebhookUrl};

pub(super) type Read<T> = Result<T, Wrong>;

/// Which ports listeners may have (requirement L5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortPolicy {
    Any,
    Clb,
}

/// What a health check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckKind {
    Tcp,
    Http,
    /// `"none"`: no checks.
    Off,
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

/// A name of something that the inventory may know.
pub(super) fn id(value: &DeValue<'_>) -> Read<Id> {
    Ok(Id::new(name(value)?)?)
}

/// A moment.
pub(super) fn time(value: &DeValue<'_>) -> Read<SystemTime> {
    let mend = "write it in quotes, such as \"2027-01-31T00:00:00Z\"";
    let typed = value.as_str().ok_or_else(|| expected("a time", value, mend))?;
    humantime::parse_rfc3339(typed).map_err(|_| Wrong::new(format!("{} is not a time", quoted(typed)), mend))
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
        let mend = format!("choose {} to {}", shown_duration(*range.start()), shown_duration(*range.end()));
        Err(Wrong::new(format!("{} is out of range", quoted(typed)), mend))
    }
}

/// As the docs and errors write a duration.
pub(super) fn shown_duration(duration: Duration) -> String {
    if duration.is_zero() { "0s".to_owned() } else { format!("{duration:?}") }
}

/// A duration where parts of a second mean nothing.
pub(super) fn whole_seconds(range: &RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Read<Duration> {
    let duration = duration(range);
    move |value| {
        let duration = duration(value)?;
        if duration.subsec_nanos() == 0 {
            return Ok(duration);
        }
        Err(Wrong::new(format!("{duration:?} is not a whole number of seconds"), "leave out the parts of a second"))
    }
}

/// A number of bytes: digits, or a string with a unit.
pub(super) fn size(range: &RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<u64> {
    move |value| {
        let mend = "write a number of bytes, or one with a unit in quotes: \"64KiB\", \"10MiB\" or \"1GiB\"";
        let typed = match value {
            DeValue::String(typed) => typed.as_ref(),
            DeValue::Integer(typed) => typed.as_str(),
            _ => return Err(expected("a size", value, mend)),
        };
        let bytes = match value {
            DeValue::Integer(typed) => integer(typed).and_then(|bytes| u64::try_from(bytes).ok()),
            _ => size_with_unit(typed)
                .map(|bytes| u64::try_from(bytes).ok())
                .ok_or_else(|| Wrong::new(format!("{} is not a size", quoted(typed)), mend))?,
        };
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
            let mend = format!("choose {} to {}", shown_size(*range.start()), shown_size(*range.end()));
            Wrong::new(format!("{} is out of range", cut(typed)), mend)
        })
    }
}

/// More than a `u64` holds may come out.
fn size_with_unit(typed: &str) -> Option<u128> {
    let digits = typed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = typed.split_at(digits);
    let (_, shift) = SIZE_UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    let is_number = !number.is_empty();
    // So many digits that no number holds them are out of any range.
    is_number.then(|| number.parse::<u64>().map_or(u128::MAX, |number| u128::from(number) << shift))
}

/// As the docs and errors write a size: in the largest unit that divides it.
fn shown_size(bytes: u64) -> String {
    let fitting = SIZE_UNITS.iter().rev().find(|(_, shift)| bytes.is_multiple_of(1 << shift));
    let (unit, shift) = fitting.copied().unwrap_or(("", 0));
    format!("{}{unit}", bytes >> shift)
}

/// Units and the power of two that each is.
const SIZE_UNITS: [(&str, u32); 5] = [("", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// One of a few numbers.
pub(super) fn one_of<const N: usize>(numbers: &'static [u16; N]) -> impl Fn(&DeValue<'_>) -> Read<u16> {
    move |value| {
        let typed = number(&(i64::MIN..=i64::MAX))(value)?;
        u16::try_from(typed).ok().filter(|typed| numbers.contains(typed)).ok_or_else(|| {
            let known = numbers.map(|number| number.to_string());
            Wrong::new(format!("{typed} is not among them"), format!("choose {}", or_list(&known)))
        })
    }
}

fn or_list(texts: &[String]) -> String {
    let Some((last, others)) = texts.split_last() else { return String::new() };
    if others.is_empty() { last.clone() } else { format!("{} or {last}", others.join(", ")) }
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
    path_of(value, "name a file, such as \"/etc/weir/token\"")
}

pub(super) fn folder(value: &DeValue<'_>) -> Read<PathBuf> {
    path_of(value, "name a folder, such as \"/var/lib/weir\"")
}

fn path_of(value: &DeValue<'_>, mend: &str) -> Read<PathBuf> {
    let path = text(value)?;
    if !path.is_empty() && !path.contains('\0') {
        return Ok(path.into());
    }
    Err(Wrong::new(format!("{} is not a path", quoted(path)), mend))
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
    match text(value)? {
        later @ ("source_ip_hash" | "weighted_random" | "maglev") => Err(Wrong::new(
            format!("{} is not in this version", quoted(later)),
            "use \"weighted_round_robin\", or \"least_connections\" (tcp), or \"least_outstanding_requests\" (http)",
        )),
        _ => choice(value, &Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm))),
    }
}

pub(super) fn check_kind(value: &DeValue<'_>) -> Read<CheckKind> {
    match text(value)? {
        later @ ("https" | "udp" | "grpc" | "custom") => Err(Wrong::new(
            format!("{} checks are not in this version, which checks by tcp and http", quoted(later)),
            "write protocol = \"tcp\" or \"http\", or \"none\" to switch checks off",
        )),
        _ => choice(value, &[("tcp", CheckKind::Tcp), ("http", CheckKind::Http), ("none", CheckKind::Off)]),
    }
}

pub(super) fn target_kind(value: &DeValue<'_>) -> Read<TargetKind> {
    choice(value, &[("cvm", TargetKind::Cvm), ("eni", TargetKind::Eni), ("idc", TargetKind::Idc)])
}

pub(super) fn cross_region(value: &DeValue<'_>) -> Read<CrossRegion> {
    let known = [("off", CrossRegion::Off), ("single", CrossRegion::Single), ("multi", CrossRegion::Multi)];
    choice(value, &known)
}

/// Whose a group's targets are. `"file"` is what it is without the key.
pub(super) fn managed(value: &DeValue<'_>) -> Read<Managed> {
    choice(value, &[("api", Managed::Api), ("file", Managed::File)])
}

pub(super) fn instance_state(value: &DeValue<'_>) -> Read<InstanceState> {
    let known = [
        ("running", InstanceState::Running),
        ("stopped", InstanceState::Stopped),
        ("isolated", InstanceState::Isolated),
        ("released", InstanceState::Released),
    ];
    choice(value, &known)
}

pub(super) fn health_type(value: &DeValue<'_>) -> Read<HealthType> {
    match text(value)? {
        "ec2" | "EC2" => Err(Wrong::new("that is \"instance\" here", "write health_type = \"instance\"")),
        _ => choice(value, &[("instance", HealthType::Instance), ("elb", HealthType::Elb)]),
    }
}

pub(super) fn webhook(value: &DeValue<'_>) -> Read<WebhookUrl> {
    WebhookUrl::new(text(value)?).map_err(Wrong::from)
}

pub(super) fn log_format(value: &DeValue<'_>) -> Read<LogFormat> {
    choice(value, &[("json", LogFormat::Json), ("alb", LogFormat::Alb)])
}

/// A cross-domain policy. Whoever has typed the path of one should hear of it here, not from players.
pub(super) fn policy(value: &DeValue<'_>) -> Read<Arc<str>> {
    let policy = text(value)?;
    if policy.len() > limits::FLASH_POLICY_BYTES_MAX {
        let most = limits::FLASH_POLICY_BYTES_MAX >> 10;
        return Err(Wrong::new(format!("the policy is longer than {most} KiB"), "shorten it"));
    }
    if policy.contains('\0') {
        return Err(Wrong::new("a zero in the policy ends it for players", "remove it"));
    }
    if !policy.contains("<cross-domain-policy") {
        let what = format!("{} is not a policy: it has no <cross-domain-policy>", quoted(policy));
        return Err(Wrong::new(what, "write the document itself, in single quotes"));
    }
    Ok(policy.into())
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
