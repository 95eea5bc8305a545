//! Where the balancer is, and what it may reach from there.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::id::Id;
use super::records::Instance;

/// `[balancer]`, as far as it decides what may be bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Its region, where the operator gave one.
    pub region: Option<Id>,
    /// Its network, where the operator gave one.
    pub network: Option<Id>,
    /// Targets may be in other networks and data centres (requirement G5).
    pub cross_network: bool,
    /// Targets may be in other regions (requirement G6).
    pub cross_region: CrossRegion,
    /// Which addresses targets may have (requirement G4).
    pub addresses: Addresses,
    /// Where connections to `idc` targets leave from (requirement G5).
    pub snat_addresses: Vec<IpAddr>,
}

/// `cross_region` of `[balancer]` (requirement G6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CrossRegion {
    /// Targets are in the balancer's own region.
    #[default]
    Off,
    /// They are all in one region. Once it is another than the balancer's, it stays another.
    Single,
    /// They are anywhere.
    Multi,
}

/// Which addresses targets may have (requirement G4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addresses {
    /// RFC 1918, 100.64/10 and `fc00::/7`.
    #[default]
    Private,
    /// Those, and loopback: the demo.
    PrivateOrLoopback,
    /// Any that one machine can have.
    Any,
}

/// Where a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot<'i> {
    pub region: Option<&'i Id>,
    pub network: Option<&'i Id>,
    pub zone: Option<&'i Id>,
}

impl Place {
    /// Where an instance is, seen from here.
    pub(super) fn spot_of<'i>(&'i self, instance: &'i Instance) -> Spot<'i> {
        let region = instance.region.as_ref().or(self.region.as_ref());
        let own_network = if region == self.region.as_ref() { self.network.as_ref() } else { None };
        Spot { region, network: instance.network.as_ref().or(own_network), zone: instance.zone.as_ref() }
    }

    /// Where a machine is that nobody says anything about: beside the balancer.
    pub(super) fn own_spot(&self) -> Spot<'_> {
        Spot { region: self.region.as_ref(), network: self.network.as_ref(), zone: None }
    }

    /// Whether it is in the balancer's own network.
    pub(super) fn is_beside(&self, spot: Spot<'_>) -> bool {
        spot.region == self.region.as_ref() && spot.network == self.network.as_ref()
    }
}
