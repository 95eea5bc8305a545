//! Whether a machine that was found may be bound: its address, where it is, and how it is (requirements G4 to G7).

use std::net::IpAddr;
use std::time::SystemTime;

use super::bind::{Found, TargetName};
use super::id::Id;
use super::place::{Addresses, CrossRegion, Place};
use super::records::{Instance, InstanceState};
use super::refusal::{Field, Refusal, Why};
use crate::config::{self, TargetKind};

/// Requirements G4 to G7, but for what the instance itself is like.
pub(super) fn may_be_reached(place: &Place, name: &TargetName, found: &Found<'_>) -> Result<(), Refusal> {
    is_private(place, found)?;
    if name.kind == TargetKind::Idc {
        return idc_may_be_reached(place, found.address);
    }
    let machine = match (found.instance, found.eni) {
        (_, Some(eni)) => format!("ENI \"{eni}\""),
        (Some(instance), None) => format!("instance \"{}\"", instance.id),
        // Beside the balancer.
        (None, None) => return Ok(()),
    };
    let of = |id: Option<&Id>, kind: &str| id.map_or_else(|| format!("no {kind}"), |id| format!("{kind} \"{id}\""));
    let refuse = |why, kind: &str, theirs: Option<&Id>, ours: Option<&Id>, leave: &str| {
        let what = format!("{machine} is in {}, and the balancer in {}", of(theirs, kind), of(ours, kind));
        let mend = match (ours, theirs) {
            (None, Some(theirs)) => {
                format!("say where the balancer is: {kind} = \"{theirs}\" in [balancer], or {leave}")
            }
            _ => format!("bind one of the balancer's own {kind}, or {leave}"),
        };
        Err(Refusal::new(why, found.named_by, what, mend))
    };
    let spot = found.spot;
    if place.cross_region == CrossRegion::Off && spot.region != place.region.as_ref() {
        let leave = "set cross_region = \"single\" or \"multi\" in [balancer]";
        return refuse(Why::OtherRegion, "region", spot.region, place.region.as_ref(), leave);
    }
    let may_cross = place.cross_network || place.cross_region != CrossRegion::Off;
    if !may_cross && spot.network != place.network.as_ref() {
        let leave = "set cross_network = true in [balancer]";
        return refuse(Why::OtherNetwork, "network", spot.network, place.network.as_ref(), leave);
    }
    Ok(())
}

/// Requirement G4.
fn is_private(place: &Place, found: &Found<'_>) -> Result<(), Refusal> {
    let address = found.address;
    let allowed = match place.addresses {
        Addresses::Any => true,
        Addresses::PrivateOrLoopback => address.is_loopback() || config::is_private_network(address),
        Addresses::Private => config::is_private_network(address),
    };
    if allowed {
        return Ok(());
    }
    let what = if address.is_loopback() { "is this machine itself" } else { "is not a private address" };
    let mend = "give the private address, or set allow_public_targets = true in [balancer] (it allows loopback too)";
    Err(Refusal::new(Why::NotPrivate, found.named_by, format!("{address} {what}"), mend))
}

/// Requirement G5.
fn idc_may_be_reached(place: &Place, address: IpAddr) -> Result<(), Refusal> {
    if !place.cross_network {
        let what = "\"idc\" targets are outside the balancer's network";
        return Err(Refusal::new(Why::NoCrossNetwork, Field::Type, what, "set cross_network = true in [balancer]"));
    }
    if place.snat_addresses.iter().any(|source| source.is_ipv4() == address.is_ipv4()) {
        return Ok(());
    }
    let (family, example) = if address.is_ipv4() { ("IPv4", "10.0.0.9") } else { ("IPv6", "fd00::9") };
    let what = format!("there is no {family} address that connections to \"idc\" targets can leave from");
    let mend = format!("add one of this machine's to snat_addresses in [balancer], such as \"{example}\"");
    Err(Refusal::new(Why::NoSnatAddress, Field::Type, what, mend))
}

/// Requirement G7, of the instance itself.
pub(super) fn may_be_bound(instance: &Instance, named_by: Field, now: SystemTime) -> Result<(), Refusal> {
    let id = &instance.id;
    let (why, is, mend) = match instance.state {
        InstanceState::Isolated => {
            (Why::Isolated, "is isolated".to_owned(), "take it out of isolation, or bind another one")
        }
        InstanceState::Released => (Why::Released, "is released".to_owned(), "bind another one"),
        InstanceState::Running | InstanceState::Stopped => match (instance.expires, instance.bandwidth) {
            (Some(expires), _) if expires <= now => {
                let is = format!("expired at {}", humantime::format_rfc3339_seconds(expires));
                (Why::Expired, is, "renew it, or bind another one")
            }
            (_, Some(0)) => (Why::NoBandwidth, "has a bandwidth of 0".to_owned(), "give it some, or bind another one"),
            _ => return Ok(()),
        },
    };
    Err(Refusal::new(why, named_by, format!("instance \"{id}\" {is}"), mend))
}
