//! What a request of the API asks for, and why it is refused.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::limits;
use crate::config::snapshot::TargetKind;
use crate::inventory::{Id, Record, RecordId, Refusal};
use crate::schema;

/// What a request of the API asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Targets of a group: a list, all of it or nothing (requirement G10).
    Targets {
        /// The group's name.
        group: Arc<str>,
        /// What becomes of which.
        change: TargetsChange,
    },
    /// Machines are known, or known otherwise: a list, all of it or nothing.
    Put(Vec<Record>),
    /// A machine is forgotten; with an instance goes what its release unbinds (requirement G8).
    Forget(RecordId),
}

/// What becomes of targets of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetsChange {
    /// They join.
    Register(Vec<NewTarget>),
    /// They leave: their flows end (requirement W3).
    Deregister(Vec<Which>),
    /// They get another weight or port.
    Update(Vec<TargetUpdate>),
}

/// A target to be registered: by an id, an address or both (requirement G3).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// What its address is: `cvm` where nothing is said.
    #[serde(rename = "type", default = "cvm")]
    pub kind: TargetKind,
    /// Of a cvm target.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub instance_id: Option<Id>,
    /// Of an eni target.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub eni_id: Option<Id>,
    /// Where it answers; the inventory's where it is not given.
    #[serde(default)]
    #[schema(value_type = Option<schema::Address>)]
    pub address: Option<IpAddr>,
    /// 1 to 65535.
    #[serde(deserialize_with = "schema::whole")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Zone that it is in; the inventory's where it is not given.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub zone: Option<Id>,
    /// 0 to 100; 10 where nothing is said.
    #[serde(default, deserialize_with = "schema::whole_or_null")]
    #[schema(minimum = 0, maximum = 100)]
    pub weight: Option<u8>,
}

/// A target that is there: by its port, and an address or an id that tell it from the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its address.
    #[serde(default)]
    #[schema(value_type = Option<schema::Address>)]
    pub address: Option<IpAddr>,
    /// Its machine: of a cvm target.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub instance_id: Option<Id>,
    /// Its interface: of an eni target.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub eni_id: Option<Id>,
    /// Its port.
    #[serde(deserialize_with = "schema::whole")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
}

/// What becomes of a target that is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetUpdate {
    /// See `Which`.
    #[serde(default)]
    #[schema(value_type = Option<schema::Address>)]
    pub address: Option<IpAddr>,
    /// See `Which`.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub instance_id: Option<Id>,
    /// See `Which`.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub eni_id: Option<Id>,
    /// See `Which`.
    #[serde(deserialize_with = "schema::whole")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Its weight from now on, 0 to 100.
    #[serde(default, deserialize_with = "schema::whole_or_null")]
    #[schema(minimum = 0, maximum = 100)]
    pub weight: Option<u8>,
    /// Its port from now on: to the balancer that is another target (requirement G2), so its flows end.
    #[serde(default, deserialize_with = "schema::whole_or_null")]
    #[schema(minimum = 1, maximum = 65535)]
    pub new_port: Option<u16>,
}

fn cvm() -> TargetKind {
    TargetKind::Cvm
}

impl TargetUpdate {
    /// Whom it is about.
    #[must_use]
    pub fn which(&self) -> Which {
        let TargetUpdate { address, instance_id, eni_id, port, .. } = self.clone();
        Which { address, instance_id, eni_id, port }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match self {
            Which { address: Some(address), .. } => write!(f, "{}", SocketAddr::new(*address, port)),
            Which { eni_id: Some(eni), .. } => write!(f, "ENI \"{eni}\", port {port}"),
            Which { instance_id: Some(instance), .. } => write!(f, "instance \"{instance}\", port {port}"),
            _ => write!(f, "port {port}"),
        }
    }
}

impl TargetsChange {
    /// How many targets it names.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            TargetsChange::Register(targets) => targets.len(),
            TargetsChange::Deregister(targets) => targets.len(),
            TargetsChange::Update(targets) => targets.len(),
        }
    }

    /// It names no target.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a change is not made: nothing of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What kind of mistake it is.
    pub code: RefusedCode,
    /// What is wrong, and where.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

/// What kind of mistake a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedCode {
    /// There is no such group, target or record.
    NotFound,
    /// It is there already, or the file's.
    Conflict,
    /// A value is out of its limits, or does not go with another.
    Invalid,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.hint)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal { field, what, mend, .. } = refusal;
        Refused::invalid(format!("{}: {what}", field.as_str()), &mend)
    }
}

/// What a client sent, escaped and cut.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(limits::NAME_BYTES_MAX).collect::<String>())
}

impl Refused {
    pub(super) fn not_found(message: String, hint: &str) -> Self {
        Refused { code: RefusedCode::NotFound, message, hint: hint.to_owned() }
    }

    pub(super) fn conflict(message: String, hint: &str) -> Self {
        Refused { code: RefusedCode::Conflict, message, hint: hint.to_owned() }
    }

    pub(super) fn invalid(message: String, hint: &str) -> Self {
        Refused { code: RefusedCode::Invalid, message, hint: hint.to_owned() }
    }

    pub(super) fn no_target(which: &Which, group: &str) -> Self {
        let message = format!("{which} is not in target group {}", shown(group));
        Refused::not_found(message, "GET /v1/target-groups/{group}/targets lists them")
    }

    pub(super) fn of_record(self, which: &RecordId) -> Self {
        Refused { message: format!("{which}: {}", self.message), ..self }
    }

    pub(super) fn of_target(self, index: usize) -> Self {
        Refused { message: format!("targets[{index}]: {}", self.message), ..self }
    }
}
