//! What shards run on: the whole desired state, validated and resolved, immutable, numbered.
//!
//! Only `config` makes a `Snapshot`. A shard holds the current one; connections see the
//! listener and the target group as they are now. Names are `Arc<str>` because they are metric labels on every shard.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The desired state of one balancer.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Grows by one with every change that took effect; 1 is what the process started with.
    pub revision: u64,
    /// `[balancer]`.
    pub balancer: Balancer,
    /// `[shards]`: read at start only.
    pub cores: Cores,
    /// `[admin]`: read at start only.
    pub admin: Admin,
    /// `[[listener]]`, in the order of the file.
    pub listeners: Vec<Arc<Listener>>,
    /// `[[target_group]]`, in the order of the file.
    pub groups: Vec<Arc<TargetGroup>>,
}

/// `[balancer]`: who this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancer {
    /// Name in logs, metrics and the status page.
    pub name: Arc<str>,
    /// Region, network and zone of this node, where the operator gave them.
    pub region: Option<Arc<str>>,
    /// See `region`.
    pub network: Option<Arc<str>>,
    /// See `region`.
    pub zone: Option<Arc<str>>,
    /// Default of the listeners' `scheme`.
    pub scheme: Scheme,
}

/// Whom a listener serves (requirement L8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Anyone.
    #[default]
    InternetFacing,
    /// Clients with a private source address only.
    Internal,
}

/// `[shards] cores`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cores {
    /// One shard on each core that the process may run on.
    All,
    /// The first so many cores.
    Count(usize),
    /// These cores, by the kernel's number.
    List(Vec<usize>),
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where the admin endpoint listens.
    pub listen: AdminAddress,
    /// File with the bearer token; required off loopback.
    pub token_file: Option<PathBuf>,
}

/// Where the admin endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

/// `[[listener]]`: where we accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Unique name.
    pub name: Arc<str>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it binds.
    pub address: SocketAddr,
    /// Whom it serves.
    pub scheme: Scheme,
    /// A connection on which neither side sends for so long is closed (requirement L7).
    pub idle_timeout: Duration,
    /// Index of the default action's target group in `Snapshot::groups`.
    pub group: usize,
}

/// Protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Plain TCP relay.
    Tcp,
}

impl Protocol {
    /// As written in the config and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
        }
    }
}

/// `[[target_group]]`: targets, one algorithm, one health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// Unique name.
    pub name: Arc<str>,
    /// What is spoken to the targets.
    pub protocol: Protocol,
    /// How a target is picked.
    pub algorithm: Algorithm,
    /// `None` switches checks off: every target counts as healthy (requirement H2).
    pub health_check: Option<HealthCheck>,
    /// With no healthy target, send to all of them (requirement B5).
    pub fail_open: bool,
    /// A connect that takes longer counts as failed.
    pub connect_timeout: Duration,
    /// Further targets tried after a failed connect (requirement B6).
    pub retries: u8,
    /// The targets, in the order of the file.
    pub targets: Vec<Target>,
}

/// How a target is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Smooth weighted round robin: a heavy target's turns are spread.
    #[default]
    WeightedRoundRobin,
    /// Fewest connections for its weight.
    LeastConnections,
}

/// `health_check = { ... }` (requirements H1, H2, H7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What a check does.
    pub protocol: CheckProtocol,
    /// Other port than the target's own.
    pub port: Option<u16>,
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// A check without an answer for so long has failed; below `interval`.
    pub timeout: Duration,
    /// Successes in a row that turn an unhealthy target healthy.
    pub healthy_threshold: u8,
    /// Failures in a row that turn a target unhealthy.
    pub unhealthy_threshold: u8,
    /// Address that checks leave from. `None`: the address of the group's listener where it names one, else the
    /// kernel's choice.
    pub source: Option<IpAddr>,
}

/// What a health check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckProtocol {
    /// Connect, then close.
    Tcp,
}

/// One target: an address and port in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it answers; once in a group (requirement G2). With the group's name it is the target's identity.
    pub address: SocketAddr,
    /// `address` as metrics and logs print it.
    pub label: Arc<str>,
    /// What kind of address it is.
    pub kind: TargetKind,
    /// `instance_id` of a cvm target, where given.
    pub instance_id: Option<Arc<str>>,
    /// `eni_id` of an eni target, where given.
    pub eni_id: Option<Arc<str>>,
    /// 0 to 100; 0 takes nothing new (requirement W2).
    pub weight: u8,
}

/// Target types (requirement G2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A machine's primary private address.
    Cvm,
    /// Any other address of a network interface.
    Eni,
    /// An address in an own data centre.
    Idc,
}

impl Snapshot {
    /// The group a listener's default action names.
    #[must_use]
    pub fn group_of(&self, listener: &Listener) -> &Arc<TargetGroup> {
        &self.groups[listener.group]
    }

    /// An L4 listener with no target bound refuses connections: nothing listens (requirement L4).
    #[must_use]
    pub fn is_bound(&self, listener: &Listener) -> bool {
        !self.group_of(listener).targets.is_empty()
    }
}
