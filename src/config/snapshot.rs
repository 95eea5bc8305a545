//! What shards run on: the whole desired state, validated and resolved, immutable, numbered.
//!
//! Only `config` makes a `Snapshot`. A shard holds the current one; connections see the
//! listener and the target group as they are now. Names are `Arc<str>` because they are metric labels on every shard.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::webhook::WebhookKeys;
use crate::acl::{Gate, SecurityGroup, Transport};
use crate::inventory::{Addresses, CrossRegion, Door, Id, Inventory, Place};
use crate::l7::Keys;
use crate::l7::router::Router;
use crate::tls::Certificate;

/// The desired state of one balancer.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Grows by one with every change that took effect; 1 is what the process started with.
    pub revision: u64,
    /// `[balancer]`.
    pub balancer: Balancer,
    /// `[shards]`: read at start only.
    pub cores: Cores,
    /// `[admin]`: read at start only, but for the certificate.
    pub admin: Admin,
    /// `state_dir` of `[balancer]`: where what the API changed is kept; `None` keeps nothing. Read at start only.
    pub state_dir: Option<PathBuf>,
    /// `[access_log]`; `None` writes none. Read at start and at each reload.
    pub access_log: Option<AccessLog>,
    /// What session cookies are sealed with: `secret_file`, or random for this process.
    pub cookie_keys: Keys,
    /// What reports to webhooks are signed with: `webhook_key_file`. `None` reports none.
    pub webhook_keys: Option<WebhookKeys>,
    /// `[[listener]]`, in the order of the file.
    pub listeners: Vec<Arc<Listener>>,
    /// `[[target_group]]`, in the order of the file.
    pub groups: Vec<Arc<TargetGroup>>,
    /// The machines that are known: `[[instance]]`, `[[eni]]` and `[[scaling_group]]`, and the API's that fit them.
    pub inventory: Arc<Inventory>,
    /// Those of the file: the API may not change them.
    pub inventory_of_file: Arc<Inventory>,
    /// What of the file is not in effect, and why: targets of instances that are released or have expired. A line of the
    /// log each, with the line of the file.
    pub left_out: Vec<String>,
    /// What is in effect and should be looked at. A line of the log each, with the line of the file.
    pub warnings: Vec<String>,
    /// The side of the door that the balancer is on with these targets (requirement G6).
    pub door: Door,
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
    /// Targets may be in other networks and data centres (requirement G5).
    pub cross_network: bool,
    /// Targets may be in other regions (requirement G6).
    pub cross_region: CrossRegion,
    /// Where connections to idc targets leave from (requirement G5).
    pub snat_addresses: Arc<[IpAddr]>,
    /// Which addresses targets may have (requirement G4).
    pub target_addresses: Addresses,
    /// Who may connect to any listener (requirement A1).
    pub security_group: SecurityGroup,
    /// What those who may not connect see.
    pub security_group_drop: SecurityGroupDrop,
}

/// What a client sees whom a security group drops (requirement A2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecurityGroupDrop {
    /// Its connection is reset before a byte is read.
    #[default]
    Reset,
    /// Nothing: a filter on the listening socket takes its SYNs away. Where a list is too long for one: a reset.
    Silent,
}

/// Whom a listener serves (requirement L8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
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
    /// What it speaks https with; `None` speaks http. Which of the two is said at start only; the certificate may be another
    /// with each reload.
    pub certificate: Option<Certificate>,
}

impl Admin {
    /// What runs since the start, with the certificate that was read now.
    #[must_use]
    pub fn renewed(&self, read: &Admin) -> Admin {
        let certificate = self.certificate.as_ref().map(|old| read.certificate.as_ref().unwrap_or(old).clone());
        Admin { certificate, ..self.clone() }
    }
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
    /// Who may connect, besides the balancer's group.
    pub security_group: SecurityGroup,
    /// Both groups, compiled for its port.
    pub gate: Gate,
    /// A connection on which neither side sends for so long is closed (requirement L7).
    pub idle_timeout: Duration,
    /// What becomes of its connections.
    pub service: Service,
}

/// What becomes of a listener's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// L4: each connection goes to a target of this group, an index into `Snapshot::groups`.
    Relay(usize),
    /// L7: each request goes where the rules send it.
    Http(Arc<Http>),
    /// `[flash_policy]`: who asks gets this document, nobody else gets anything (requirement L6).
    FlashPolicy(Arc<str>),
}

/// What an http listener does with requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// `[[listener.rule]]` and `default_action`, compiled.
    pub router: Router,
    /// What happens to requests that are not quite HTTP (requirement P5).
    pub hygiene: Hygiene,
    /// What happens to `X-Forwarded-*` (requirement C1).
    pub forwarded: Forwarded,
    /// Requests get an `X-Amzn-Trace-Id` where they have none.
    pub trace_id: bool,
    /// `Server` of every response; `None` leaves the target's, and the balancer's own responses have none.
    pub server_header: Option<Arc<str>>,
    /// A request's head must be complete so long after its first byte.
    pub header_timeout: Duration,
    /// A request's body must go on after so long.
    pub body_timeout: Duration,
    /// A client must take some of its response after so long.
    pub send_timeout: Duration,
    /// Longest request body; a longer one is answered with 413.
    pub body_bytes_max: Option<NonZeroU64>,
    /// Pages in place of the built-in ones (requirement P6), by status.
    pub error_pages: Vec<ErrorPage>,
}

/// Which requests that are not quite HTTP are served (requirement P5; ALB's desync mitigation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hygiene {
    /// All whose end can be told at all: they are classified, logged and served.
    Monitor,
    /// Ambiguous ones are served and both connections closed after them, severe ones are refused.
    #[default]
    Defensive,
    /// Only compliant ones are served.
    Strictest,
}

/// What happens to the `X-Forwarded-*` that a client sent (requirement C1; ALB's `xff_header_processing`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forwarded {
    /// The client's address is added to it.
    #[default]
    Append,
    /// It stays as it came; nothing is added.
    Preserve,
    /// It is taken out, and none is added.
    Remove,
}

/// A page of the operator's for one status of the balancer's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// The status it goes with.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: Arc<str>,
    /// Its bytes.
    pub body: Arc<[u8]>,
}

/// `[access_log]` (requirement M3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub to: LogTo,
    /// How a line looks.
    pub format: LogFormat,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTo {
    /// Appended to a file, which is set aside as `path.1`, `path.2` ... when it has `rotate_bytes`.
    File {
        /// The file.
        path: PathBuf,
        /// Set aside at this size; `None`: never (logrotate does it, and SIGHUP opens the file anew).
        rotate_bytes: Option<NonZeroU64>,
        /// So many that were set aside are kept.
        rotate_keep: u16,
    },
    /// Standard output.
    Stdout,
    /// The host's syslog, `/dev/log`.
    Syslog,
}

/// How a line of the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// ALB's text format, field by field.
    Alb,
}

/// Protocol of a listener or a target group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Plain TCP relay.
    Tcp,
    /// HTTP/1.0 and HTTP/1.1.
    Http,
}

impl Protocol {
    /// As written in the config and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Http => "http",
        }
    }

    /// What carries it.
    #[must_use]
    pub fn transport(self) -> Transport {
        match self {
            Protocol::Tcp | Protocol::Http => Transport::Tcp,
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
    /// Every zone is used alike; else the balancer's own goes first (requirement B3).
    pub cross_zone: bool,
    /// A connect that takes longer counts as failed.
    pub connect_timeout: Duration,
    /// Further targets tried after a failed connect (requirement B6).
    pub retries: u8,
    /// What an http group has besides; `None` for a tcp group.
    pub http: Option<HttpGroup>,
    /// Whose its targets are.
    pub managed: Managed,
    /// The targets, in the order of the file.
    pub targets: Vec<Target>,
}

/// Whose the targets of a group are, and a record of the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Managed {
    /// The file lists them.
    #[default]
    File,
    /// The API binds and unbinds them; the file lists none.
    Api,
}

/// What an http target group has besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGroup {
    /// What is spoken to the targets (requirement G1).
    pub version: HttpVersion,
    /// Sessions (requirements S1, S2).
    pub stickiness: Option<Stickiness>,
    /// What runs towards an unbound target may go on for so long (requirement W3).
    pub deregistration_delay: Duration,
    /// A target must begin its answer, and go on with it, after so long.
    pub response_timeout: Duration,
    /// `Location` that names the target becomes the client's view of it (requirement R4).
    pub location_repair: bool,
    /// Idle target connections.
    pub keep_alive: KeepAlive,
}

/// HTTP version towards targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// HTTP/1.0: a connection for each request.
    V1_0,
    /// HTTP/1.1, kept alive.
    #[default]
    V1_1,
}

/// Idle connections to the targets of a group, for each shard and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Most that are kept; 0 keeps none.
    pub idle_max: u16,
    /// One that was idle for so long is closed.
    pub idle_timeout: Duration,
    /// One that was made so long ago is not used again.
    pub lifetime: Duration,
}

/// How a client stays with its target (requirements S1, S2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stickiness {
    /// Name of the balancer's own cookie.
    pub cookie: Arc<str>,
    /// The target's cookie that it follows (requirement S2); `None`: it follows none (S1).
    pub app_cookie: Option<Arc<str>>,
    /// How long a session lasts after its last response. Whole seconds.
    pub duration: Duration,
    /// The cookie gets `Secure`.
    pub secure: bool,
    /// The cookie gets `SameSite`.
    pub same_site: Option<SameSite>,
}

/// `SameSite` of a cookie (RFC 6265bis, 5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// `Strict`.
    Strict,
    /// `Lax`.
    Lax,
    /// `None`; browsers want `Secure` with it.
    None,
}

/// How a target is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Smooth weighted round robin: a heavy target's turns are spread.
    #[default]
    WeightedRoundRobin,
    /// Fewest connections for its weight: tcp groups.
    LeastConnections,
    /// Fewest requests in flight for its weight: http groups.
    LeastOutstandingRequests,
}

impl Algorithm {
    /// Every one.
    pub const ALL: [Algorithm; 3] =
        [Algorithm::WeightedRoundRobin, Algorithm::LeastConnections, Algorithm::LeastOutstandingRequests];

    /// As the config and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::WeightedRoundRobin => "weighted_round_robin",
            Algorithm::LeastConnections => "least_connections",
            Algorithm::LeastOutstandingRequests => "least_outstanding_requests",
        }
    }
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckProtocol {
    /// Connect, then close.
    Tcp,
    /// A request, and a status that matches.
    Http(HttpCheck),
}

/// What an HTTP check asks and wants to hear (requirement H1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// Path, with a query where there is one.
    pub path: Arc<str>,
    /// `Host`; `None` names the target's address and port.
    pub host: Option<Arc<str>>,
    /// `HEAD` or `GET`.
    pub method: CheckMethod,
    /// HTTP version of the request.
    pub version: HttpVersion,
    /// Statuses that count as healthy.
    pub matcher: Vec<RangeInclusive<u16>>,
}

/// Method of an HTTP check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckMethod {
    /// `HEAD`.
    #[default]
    Head,
    /// `GET`.
    Get,
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
    /// Its machine, where given or known to the inventory.
    pub instance_id: Option<Arc<str>>,
    /// Its interface, of an eni target, where given or known to the inventory.
    pub eni_id: Option<Arc<str>>,
    /// Its region; `None` for an idc target, and where `[balancer]` names none.
    pub region: Option<Arc<str>>,
    /// Its network; as `region`.
    pub network: Option<Arc<str>>,
    /// Its zone, where given or known to the inventory (requirement B3).
    pub zone: Option<Arc<str>>,
    /// 0 to 100; 0 takes nothing new (requirement W2).
    pub weight: u8,
}

/// Target types (requirement G2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A machine's primary private address.
    Cvm,
    /// Any other address of a network interface.
    Eni,
    /// An address in an own data centre.
    Idc,
}

impl Service {
    /// Indices of the groups that it may send to, ascending, each once.
    #[must_use]
    pub fn groups(&self) -> Vec<usize> {
        match self {
            Service::Relay(group) => vec![*group],
            Service::Http(http) => http.router.groups(),
            Service::FlashPolicy(_) => Vec::new(),
        }
    }
}

impl Balancer {
    /// What decides which targets may be bound.
    #[must_use]
    pub fn place(&self) -> Place {
        // They were read as names.
        let id = |name: &Option<Arc<str>>| name.clone().and_then(|name| Id::new(name).ok());
        Place {
            region: id(&self.region),
            network: id(&self.network),
            cross_network: self.cross_network,
            cross_region: self.cross_region,
            addresses: self.target_addresses,
            snat_addresses: self.snat_addresses.to_vec(),
        }
    }
}

impl TargetGroup {
    /// The zone whose targets go first while one of them is healthy (requirement B3). `None`: zones are no matter, because
    /// the group crosses them, or nobody said where the balancer is, or where any target is.
    #[must_use]
    pub fn own_zone<'b>(&self, balancer: &'b Balancer) -> Option<&'b Arc<str>> {
        let stays = !self.cross_zone && self.targets.iter().any(|target| target.zone.is_some());
        balancer.zone.as_ref().filter(|_| stays)
    }
}

impl Snapshot {
    /// The groups that a listener may send to, each once.
    #[must_use]
    pub fn groups_of<'s>(&'s self, listener: &Listener) -> Vec<&'s Arc<TargetGroup>> {
        listener.service.groups().into_iter().map(|index| &self.groups[index]).collect()
    }

    /// An L4 listener with no target bound refuses connections: nothing listens. An L7 listener always accepts (requirement
    /// L4). The Flash policy responder listens while no listener of the operator's has its port (L6).
    #[must_use]
    pub fn is_bound(&self, listener: &Listener) -> bool {
        match listener.service {
            Service::Relay(group) => !self.groups[group].targets.is_empty(),
            Service::Http(_) => true,
            Service::FlashPolicy(_) => !self.listeners.iter().any(|other| self.has_port_of(other, listener)),
        }
    }

    /// A listener with the responder's own address has its port; so has one without targets whose address overlaps it, which
    /// is how an operator closes the port. With targets it would be beside the responder, as a wildcard beside an address.
    fn has_port_of(&self, listener: &Listener, responder: &Listener) -> bool {
        let is_other = !matches!(listener.service, Service::FlashPolicy(_));
        let overlaps = overlap(listener.address, responder.address);
        is_other && overlaps && (listener.address == responder.address || !self.is_bound(listener))
    }
}

/// Whether a connection could be for either of two addresses, a wildcard included. Our IPv6 sockets take no IPv4.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    let same_address = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && same_family && same_address
}
