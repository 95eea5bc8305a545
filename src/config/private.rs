//! Which addresses are private, and which can be no endpoint at all.
//!
//! Pure, and cheap enough for every accepted connection: a few comparisons of integers.

use std::net::{IpAddr, Ipv4Addr};

use super::error::Wrong;

/// Whether a client with this source address is let in by an internal listener (requirement L8).
///
/// RFC 1918 (10/8, 172.16/12, 192.168/16), RFC 6598 (100.64/10), RFC 4193 (`fc00::/7`); link-local, which no router
/// forwards (RFC 3927 169.254/16, RFC 4291 `fe80::/10`); loopback (RFC 1122 127/8, RFC 4291 `::1`). An IPv4-mapped
/// address (RFC 4291 2.5.5.2) counts as the IPv4 address inside it.
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_private_network_v4(ip) || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

/// Whether a target may have this address without `allow_public_targets` (requirement G4). Narrower than `is_private`:
/// nothing link-local, and no loopback, since a loopback target is this machine itself.
pub(crate) fn is_private_network(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_private_network_v4(ip),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Refuses an address that no socket of ours can bind to. A link-local one may name its interface: `[fe80::1%2]:80`.
pub(super) fn check_bindable(ip: IpAddr) -> Result<IpAddr, Wrong> {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Ok(ip),
        ip if ip.is_unspecified() => Ok(ip),
        _ => check_unicast(ip),
    }
}

/// Refuses an address that no connection can have at its far end.
pub(crate) fn check_unicast(ip: IpAddr) -> Result<IpAddr, Wrong> {
    let kind = match ip {
        ip if ip.is_unspecified() => "the unspecified address",
        ip if ip.is_multicast() => "a multicast address",
        IpAddr::V4(Ipv4Addr::BROADCAST) => "the broadcast address",
        IpAddr::V6(ip) if ip.is_unicast_link_local() => "link-local, which means nothing without an interface",
        _ => return check_not_mapped(ip),
    };
    Err(Wrong::new(format!("{ip} is {kind}"), "give the address of one machine"))
}

/// Refuses `::ffff:10.0.0.1`: our IPv6 sockets are IPv6 only, and one machine must not appear under two addresses.
fn check_not_mapped(ip: IpAddr) -> Result<IpAddr, Wrong> {
    let IpAddr::V6(v6) = ip else { return Ok(ip) };
    let Some(v4) = v6.to_ipv4_mapped() else { return Ok(ip) };
    Err(Wrong::new(format!("{v6} is an IPv4 address in IPv6 form"), format!("write {v4}")))
}

/// RFC 1918 and RFC 6598.
fn is_private_network_v4(ip: Ipv4Addr) -> bool {
    let shared = u32::from(ip) >> 22 == u32::from(SHARED_V4) >> 22;
    ip.is_private() || shared
}

/// 100.64.0.0/10, between a carrier and its customers (RFC 6598, 7).
const SHARED_V4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
