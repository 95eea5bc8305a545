//! Values of security groups.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use toml::de::DeValue;

use super::{Read, choice, expected, http, number};
use crate::acl::{ALL_PORTS, Action, Transport};
use crate::config::error::{Wrong, quoted};
use crate::config::limits;
use crate::config::snapshot::SecurityGroupDrop;

pub(in crate::config) fn action(value: &DeValue<'_>) -> Read<Action> {
    choice(value, &[("accept", Action::Accept), ("drop", Action::Drop)])
}

/// `None`: any.
pub(in crate::config) fn transport(value: &DeValue<'_>) -> Read<Option<Transport>> {
    choice(value, &[("all", None), ("tcp", Some(Transport::Tcp)), ("udp", Some(Transport::Udp))])
}

/// A network, or one address.
pub(in crate::config) fn source(value: &DeValue<'_>) -> Read<IpNet> {
    let mend = "write a network or an address, such as \"10.0.0.0/8\" or \"203.0.113.7\"";
    let typed = value.as_str().ok_or_else(|| expected("a network or an address", value, mend))?;
    let Ok(address) = typed.parse::<IpAddr>() else {
        // Also where it is neither: the network's reader says what is wrong with a network.
        return if typed.contains('/') {
            http::network(value)
        } else {
            Err(Wrong::new(format!("{} is no network and no address", quoted(typed)), mend))
        };
    };
    if address != address.to_canonical() {
        let what = format!("{address} is IPv4 in IPv6 form, and clients are compared as IPv4");
        return Err(Wrong::new(what, format!("write \"{}\"", address.to_canonical())));
    }
    Ok(address.into())
}

/// `"ALL"`, a number, or numbers and ranges of them in a string. None: all.
pub(in crate::config) fn ports(value: &DeValue<'_>) -> Read<Vec<RangeInclusive<u16>>> {
    let mend = "write \"ALL\", a port such as 80, or ports and ranges of them in quotes: \"80,443,1000-2000\"";
    match value {
        DeValue::Integer(_) => number(&limits::PORT)(value).map(|port| vec![port..=port]),
        DeValue::String(typed) if typed.eq_ignore_ascii_case(ALL_PORTS) => Ok(Vec::new()),
        DeValue::String(typed) => typed.split(',').map(|part| port_range(part.trim(), mend)).collect(),
        _ => Err(expected("ports", value, mend)),
    }
}

fn port_range(typed: &str, mend: &str) -> Read<RangeInclusive<u16>> {
    let (first, last) = typed.split_once('-').unwrap_or((typed, typed));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (first, last) = (first.trim(), last.trim());
    if !is_number(first) || !is_number(last) {
        return Err(Wrong::new(format!("{} is no port and no range of ports", quoted(typed)), mend));
    }
    let bounds = limits::PORT;
    let parsed = |text: &str| text.parse().ok().filter(|port| bounds.contains(port));
    match (parsed(first), parsed(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => {
            let mend = format!("choose ports from {} to {}, the lower first", bounds.start(), bounds.end());
            Err(Wrong::new(format!("{} is no range of ports", quoted(typed)), mend))
        }
    }
}

pub(in crate::config) fn security_group_drop(value: &DeValue<'_>) -> Read<SecurityGroupDrop> {
    choice(value, &[("reset", SecurityGroupDrop::Reset), ("silent", SecurityGroupDrop::Silent)])
}
