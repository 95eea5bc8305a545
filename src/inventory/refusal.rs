//! Why something is not taken into the inventory, or not bound: one word for programs, sentences for people.

use std::fmt;

use serde::{Serialize, Serializer};

/// Something was refused, and nothing changed. Prints as `instance "ins-1" is isolated; bind another one`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {mend}")]
pub struct Refusal {
    /// The reason, for programs.
    pub why: Why,
    /// Which part of what was given is refused.
    pub field: Field,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl Refusal {
    pub(crate) fn new(why: Why, field: Field, what: impl Into<String>, mend: impl Into<String>) -> Refusal {
        Refusal { why, field, what: what.into(), mend: mend.into() }
    }
}

/// The part of a target, or of a record of the inventory, that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `type`.
    Type,
    /// `instance_id`.
    InstanceId,
    /// `eni_id`.
    EniId,
    /// `address`, or one of `addresses`.
    Address,
    /// `id`, or `name` of a scaling group.
    Id,
    /// `instances` of a scaling group.
    Instances,
    /// `target_groups` of a scaling group.
    TargetGroups,
    /// `bandwidth` of an instance.
    Bandwidth,
    /// `health_type` of a scaling group.
    HealthType,
    /// `webhook` of a scaling group.
    Webhook,
}

impl Field {
    /// The key in the config and in the API, but for an ENI's `addresses` and a scaling group's `name`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Field::Type => "type",
            Field::InstanceId => "instance_id",
            Field::EniId => "eni_id",
            Field::Address => "address",
            Field::Id => "id",
            Field::Instances => "instances",
            Field::TargetGroups => "target_groups",
            Field::Bandwidth => "bandwidth",
            Field::HealthType => "health_type",
            Field::Webhook => "webhook",
        }
    }
}

/// Reasons of refusals. Their names are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// No id has such characters.
    NotAName,
    /// No machine can have this address.
    NotAMachine,
    /// No URL is written so, or not one for a webhook.
    NotAUrl,
    /// A value needs another one beside it, or is of no use beside another.
    Incomplete,
    /// Webhooks need a key that their reports are signed with.
    NoWebhookKey,
    /// A number is out of range.
    OutOfRange,
    /// The id or the address is another's already.
    Taken,
    /// The inventory has no such instance.
    UnknownInstance,
    /// The inventory has no such ENI.
    UnknownEni,
    /// Neither an id nor an address.
    NothingNamed,
    /// Targets of this type do not have this id.
    StrayId,
    /// Id and address belong to different machines.
    Disagreement,
    /// The address is of another type of target (requirement G3).
    WrongType,
    /// The ENI is attached to no instance (requirement G3).
    Detached,
    /// Several addresses or machines could be meant.
    Ambiguous,
    /// The address is public, or loopback (requirement G4).
    NotPrivate,
    /// `idc` needs `cross_network` (requirement G5).
    NoCrossNetwork,
    /// `idc` needs an address to leave from (requirement G5).
    NoSnatAddress,
    /// It is in another region (requirement G6).
    OtherRegion,
    /// It is in another network (requirement G7).
    OtherNetwork,
    /// The instance is isolated (requirement G7).
    Isolated,
    /// The instance has expired (requirement G7).
    Expired,
    /// The instance has no bandwidth (requirement G7).
    NoBandwidth,
    /// The instance is released (requirement G8).
    Released,
    /// `cross_region = "single"`: the targets are in several regions (requirement G6).
    SeveralRegions,
    /// `cross_region = "single"`: the targets have left the balancer's own region for good (requirement G6).
    OneWay,
}

impl Why {
    /// The word that the API answers with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Why::NotAName => "not_a_name",
            Why::NotAMachine => "not_a_machine",
            Why::NotAUrl => "not_a_url",
            Why::Incomplete => "incomplete",
            Why::NoWebhookKey => "no_webhook_key",
            Why::OutOfRange => "out_of_range",
            Why::Taken => "taken",
            Why::UnknownInstance => "unknown_instance",
            Why::UnknownEni => "unknown_eni",
            Why::NothingNamed => "nothing_named",
            Why::StrayId => "stray_id",
            Why::Disagreement => "disagreement",
            Why::WrongType => "wrong_type",
            Why::Detached => "detached",
            Why::Ambiguous => "ambiguous",
            Why::NotPrivate => "not_private",
            Why::NoCrossNetwork => "no_cross_network",
            Why::NoSnatAddress => "no_snat_address",
            Why::OtherRegion => "other_region",
            Why::OtherNetwork => "other_network",
            Why::Isolated => "isolated",
            Why::Expired => "expired",
            Why::NoBandwidth => "no_bandwidth",
            Why::Released => "released",
            Why::SeveralRegions => "several_regions",
            Why::OneWay => "one_way",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Why {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
