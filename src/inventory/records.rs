//! What the inventory keeps of each thing: as written in the file's tables and in the API's JSON.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::id::Id;
use super::refusal::{Field, Refusal, Why};
use super::webhook::WebhookUrl;
use crate::config::limits;
use crate::schema;

/// A machine: `[[instance]]`, `PUT /v1/inventory/instances/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Unique among instances.
    #[schema(value_type = schema::Name)]
    pub id: Id,
    /// Region it is in; `None`: the balancer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub region: Option<Id>,
    /// Network it is in; `None`: the balancer's, unless its region is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub network: Option<Id>,
    /// Zone it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub zone: Option<Id>,
    /// The primary private address of its primary interface.
    #[schema(value_type = schema::Address)]
    pub address: IpAddr,
    /// How it is.
    #[serde(default)]
    pub state: InstanceState,
    /// From then on it is not bound any more; `None`: never (RFC 3339).
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Time>)]
    pub expires: Option<SystemTime>,
    /// Its bandwidth in Mbit/s; an instance of bandwidth 0 is not bound. `None`: not known.
    #[serde(default, deserialize_with = "schema::whole_or_null", skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u32>,
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It runs.
    #[default]
    Running,
    /// It is switched off. It may be bound: checks tell that it does not answer.
    Stopped,
    /// It is kept apart, such as for a bill that is not paid: it is not bound (requirement G7).
    Isolated,
    /// It is given back for good: its targets are unbound by the rules of requirement G8, and its address may be another's.
    Released,
}

/// A network interface: `[[eni]]`, `PUT /v1/inventory/enis/ID`. It is in the region, network and zone of its instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Eni {
    /// Unique among interfaces.
    #[schema(value_type = schema::Name)]
    pub id: Id,
    /// The instance that it is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub instance_id: Option<Id>,
    /// Its private addresses. A primary interface has the instance's own among them.
    #[schema(value_type = Vec<schema::Address>, min_items = 1)]
    pub addresses: BTreeSet<IpAddr>,
}

/// Instances that come and go together: `[[scaling_group]]`, `PUT /v1/scaling-groups/NAME` (requirement G9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScalingGroup {
    /// Unique among scaling groups.
    #[schema(value_type = schema::Name)]
    pub name: Id,
    /// Ids of its instances.
    #[serde(default)]
    #[schema(value_type = Vec<schema::Name>)]
    pub instances: BTreeSet<Id>,
    /// The target groups that its instances are bound to.
    #[serde(default, deserialize_with = "schema::objects")]
    pub target_groups: Vec<Association>,
    /// What tells that an instance is not well.
    #[serde(default)]
    pub health_type: HealthType,
    /// Where targets that turn unhealthy are reported, with `health_type = "elb"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::WebUrl>)]
    pub webhook: Option<WebhookUrl>,
}

/// What tells a scaling group that an instance is not well (requirement G9). The words are those of AWS, whose
/// `HealthCheckType` is `EC2` or `ELB`; an EC2 instance is an instance here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthType {
    /// AWS's `EC2`: whoever runs the instances. The balancer reports nothing.
    #[default]
    Instance,
    /// AWS's `ELB`: the balancer's health checks besides. It reports a target that turns unhealthy.
    Elb,
}

impl ScalingGroup {
    /// Where its targets are reported that turn unhealthy; `None`: nowhere.
    #[must_use]
    pub fn reported_to(&self) -> Option<&WebhookUrl> {
        self.webhook.as_ref().filter(|_| self.health_type == HealthType::Elb)
    }

    /// A webhook goes with the health type that uses it.
    pub(super) fn check_webhook(&self) -> Result<(), Refusal> {
        match (self.health_type, &self.webhook) {
            (HealthType::Instance, None) | (HealthType::Elb, Some(_)) => Ok(()),
            (HealthType::Elb, None) => {
                let mend = "add webhook = \"https://autoscaler.internal/weir\", or set health_type = \"instance\"";
                Err(Refusal::new(
                    Why::Incomplete,
                    Field::Webhook,
                    "health_type \"elb\" has no webhook to report to",
                    mend,
                ))
            }
            (HealthType::Instance, Some(_)) => {
                let mend = "set health_type = \"elb\", or remove webhook";
                let what = "nothing is reported to webhook with health_type \"instance\"";
                Err(Refusal::new(Why::Incomplete, Field::HealthType, what, mend))
            }
        }
    }
}

/// A target group of a scaling group, and how its instances are bound there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Association {
    /// Name of the target group.
    #[schema(value_type = schema::Name)]
    pub group: Id,
    /// Port of an instance that joins.
    #[serde(deserialize_with = "schema::whole")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Weight of an instance that joins.
    #[serde(default = "default_weight", deserialize_with = "schema::whole")]
    #[schema(minimum = 0, maximum = 100)]
    pub weight: u8,
}

fn default_weight() -> u8 {
    limits::WEIGHT_DEFAULT
}

/// A time as RFC 3339 writes it.
mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(&humantime::format_rfc3339(*time)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
        let Some(typed) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let wrong = |_| serde::de::Error::custom("not a time such as \"2027-01-31T00:00:00Z\"");
        humantime::parse_rfc3339(&typed).map(Some).map_err(wrong)
    }
}
