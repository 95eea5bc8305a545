//! Every number of the config: bounds and defaults, with unit and source.
//!
//! "CLB" is Tencent Cloud's balancer, "NLB" and "ALB" are AWS's: their public API references give the ranges named here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Largest config file in bytes. Ours: 100 groups of 1,000 targets (requirement L9) take about half of it.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// Longest text in bytes of which all syntax errors are listed, instead of the first. Measured on a text of nothing else: each
/// byte costs 330 bytes of memory while it is parsed.
pub const SYNTAX_ERRORS_BYTES_MAX: usize = 128 << 10;

/// Most errors listed for one config; the rest are counted. Ours: more than anyone reads, less than fills a log.
pub const ERRORS_SHOWN_MAX: usize = 1000;

/// Longest name or id in bytes. CLB allows 60 to 80 for its names, ALB 32; they are metric labels, so they stay short.
pub const NAME_BYTES_MAX: usize = 80;

/// Longest URL of a webhook. Ours: that of a service's path and a token in it.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2048;

/// Ports that can be bound or connected to: 0 asks the kernel for any port, so it names none (RFC 6335, 6).
pub const PORT: RangeInclusive<u16> = 1..=u16::MAX;

/// Ports below 1024 that `port_policy = "clb"` lets a listener have, besides everything from `CLB_PORT_MIN` on. CLB.
pub const CLB_PORTS_LOW: [u16; 5] = [21, 25, 80, 443, 843];

/// From this port on `port_policy = "clb"` lets a listener have any. CLB.
pub const CLB_PORT_MIN: u16 = 1024;

/// Bytes of the path of a unix socket: `sun_path` holds 108 with the closing zero, unix(7).
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// Where the admin endpoint listens by default. Ours: loopback, so that nobody else reaches it.
pub const ADMIN_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// Where the Flash policy responder listens by default: the port on which Flash players ask. CLB.
pub const FLASH_POLICY_ADDRESS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 843);

/// Its policy by default: content of any site may connect to any port. Who wants less says so.
pub const FLASH_POLICY_DOCUMENT_DEFAULT: &str =
    "<cross-domain-policy><allow-access-from domain=\"*\" to-ports=\"*\"/></cross-domain-policy>";

/// Longest policy. Ours: a site that names hundreds of domains.
pub const FLASH_POLICY_BYTES_MAX: usize = 16 << 10;

/// How long a client has to ask the responder and to take its answer. Ours: a player asks as soon as it is connected.
pub const FLASH_POLICY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the responder is called among listeners.
pub const FLASH_POLICY_NAME: &str = "flash_policy";

/// The balancer's name by default.
pub const BALANCER_NAME_DEFAULT: &str = "weir";

/// Most shards, and one more than the highest core number: `CPU_SETSIZE`, the width of glibc's affinity mask.
pub const CORES_MAX: usize = 1024;

/// A listener's idle timeout. NLB: 60 s to 6000 s; ours starts at 1 s for short-lived protocols.
pub const IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(6000);

/// Idle timeout of a tcp listener by default. NLB.
pub const IDLE_TIMEOUT_TCP_DEFAULT: Duration = Duration::from_secs(350);

/// Idle timeout of an http listener by default. ALB.
pub const IDLE_TIMEOUT_HTTP_DEFAULT: Duration = Duration::from_secs(60);

/// How long a request's head may take from its first byte. CLB's `client_header_timeout`: 30 s to 120 s; ours starts at 1 s.
pub const HEADER_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(120);

/// Header timeout by default. CLB.
pub const HEADER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// How long a request's body may stand still. CLB's `client_body_timeout`: 30 s to 120 s; ours starts at 1 s.
pub const BODY_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(120);

/// Body timeout by default. CLB.
pub const BODY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// How long a client may take nothing of its response. CLB's `send_timeout`.
pub const SEND_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Send timeout by default. CLB.
pub const SEND_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// How long a target may take to begin its answer, and to go on with it. CLB's `proxy_read_timeout`: 30 s to 3600 s; ours
/// starts at 1 s.
pub const RESPONSE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Response timeout by default. CLB.
pub const RESPONSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// How long requests to an unbound target may go on. ALB.
pub const DEREGISTRATION_DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);

/// Deregistration delay by default. ALB.
pub const DEREGISTRATION_DELAY_DEFAULT: Duration = Duration::from_secs(300);

/// Idle connections kept for each shard and target. Ours: more than a target with a thread a connection likes to have.
pub const KEEP_ALIVE_IDLE_MAX: RangeInclusive<u16> = 0..=1024;

/// Idle connections kept by default. Ours: with fewer, a burst of so many clients connects anew each time.
pub const KEEP_ALIVE_IDLE_MAX_DEFAULT: u16 = 128;

/// How long an idle connection to a target is kept. nginx's `keepalive_timeout` towards servers has no bounds; these are ours.
pub const KEEP_ALIVE_IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Idle timeout towards targets by default. Ours: just below the 5 s after which Apache httpd, Node.js and Uvicorn close an idle
/// connection, so that a request does not meet that close on its way; whoever knows the targets better says so. (nginx: 60 s.)
pub const KEEP_ALIVE_IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(4);

/// How old a connection to a target may get. Ours: to a day.
pub const KEEP_ALIVE_LIFETIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Lifetime by default. nginx's `keepalive_time`.
pub const KEEP_ALIVE_LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);

/// Longest request body that `request_body_max` can name. Ours; CLB's `client_max_body_size` ends at 10 GiB.
pub const REQUEST_BODY_BYTES: RangeInclusive<u64> = 1..=1 << 40;

/// Statuses that the balancer answers with by itself (requirement P6), for which there can be an `error_page`. ALB; 431 is ours.
pub const OWN_STATUSES: [u16; 15] = [400, 403, 405, 408, 413, 414, 431, 463, 464, 500, 501, 502, 503, 504, 505];

/// Largest error page. Ours: each shard has it in memory, for each listener that names it.
pub const ERROR_PAGE_BYTES_MAX: usize = 64 << 10;

/// Content type of an error page by default.
pub const ERROR_PAGE_CONTENT_TYPE_DEFAULT: &str = "text/html";

/// Longest value of `Server`, content type, host of a check. Ours: each is sent again and again.
pub const FIELD_VALUE_BYTES_MAX: usize = 256;

/// A rule's priority. ALB.
pub const RULE_PRIORITY: RangeInclusive<u16> = 1..=50_000;

/// Longest host, path, value or part of a redirect in a rule. ALB.
pub const PATTERN_BYTES_MAX: usize = 128;

/// Longest regular expression and replacement in a rule. ALB.
pub const REGEX_BYTES_MAX: usize = 1024;

/// Longest method or header name of a condition. ALB.
pub const HEADER_NAME_BYTES_MAX: usize = 40;

/// A group's weight in a forward to several. ALB.
pub const GROUP_WEIGHT: RangeInclusive<u16> = 0..=999;

/// A group's weight by default. ALB.
pub const GROUP_WEIGHT_DEFAULT: u16 = 1;

/// Statuses of a redirect (requirement R3). ALB has 301 and 302, RFC 9110, 15.4 the others.
pub const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// Content types of a fixed response; the first is the default. ALB.
pub const FIXED_RESPONSE_CONTENT_TYPES: [&str; 5] =
    ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// Longest body of a fixed response. ALB.
pub const FIXED_RESPONSE_BYTES_MAX: usize = 1024;

/// How long a session lasts. ALB: 1 s to 7 days.
pub const STICKINESS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// A session's duration by default. ALB: a day.
pub const STICKINESS_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// What a sticky group's cookie is called by default: this and the group's name, so that two groups on one host do not
/// overwrite each other's.
pub const COOKIE_PREFIX_DEFAULT: &str = "WEIR-";

/// Largest `secret_file`. Ours: some secrets of a line each, and comments.
pub const SECRET_FILE_BYTES_MAX: usize = 16 << 10;

/// Largest `certificate_file`. Ours: a chain of a dozen certificates.
pub const CERTIFICATE_FILE_BYTES_MAX: usize = 64 << 10;

/// Largest `key_file`. Ours: twice an RSA key of 16,384 bits, whose certificate may be in the same file.
pub const KEY_FILE_BYTES_MAX: usize = 64 << 10;

/// Longest path of an HTTP check. ALB.
pub const CHECK_PATH_BYTES_MAX: usize = 1024;

/// Statuses that a matcher can name. RFC 9110, 15.
pub const CHECK_STATUS: RangeInclusive<u16> = 100..=599;

/// Size at which the access log's file is set aside. Ours.
pub const LOG_ROTATE_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;

/// Files of the access log that are kept besides the one written to. Ours.
pub const LOG_ROTATE_KEEP: RangeInclusive<u16> = 1..=1000;

/// Files kept by default. Ours.
pub const LOG_ROTATE_KEEP_DEFAULT: u16 = 10;

/// Path of an HTTP check by default. CLB and ALB.
pub const CHECK_PATH_DEFAULT: &str = "/";

/// Statuses that an HTTP check takes for healthy by default. NLB; ALB takes 200 only, CLB takes any.
pub const CHECK_MATCHER_DEFAULT: RangeInclusive<u16> = 200..=399;

/// How long a connect to a target may take. CLB's `proxy_connect_timeout`: 4 s to 120 s; ours starts at 50 ms, which a
/// target in the same network keeps easily.
pub const CONNECT_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(120);

/// Connect timeout by default. CLB.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(4);

/// Further targets tried after a failed connect. Ours: ten bound what one client can cost.
pub const RETRIES: RangeInclusive<u8> = 0..=10;

/// Retries by default. Ours: two survive a target that just died and one more that has not been noticed.
pub const RETRIES_DEFAULT: u8 = 2;

/// A target's weight. CLB.
pub const WEIGHT: RangeInclusive<u8> = 0..=100;

/// Targets that one request of the API may name. Ours: CLB takes 20, ALB 1,000 in a group.
pub const CHANGE_TARGETS_MAX: usize = 1000;

/// Of what the API has put into the inventory: records, and their addresses, instances and target groups together. Ours: all of
/// it is written with each change.
pub const RECORDS_MAX: usize = 50_000;

/// Addresses of an interface. Ours: clouds give up to 50.
pub const ENI_ADDRESSES_MAX: usize = 256;

/// Target groups of a scaling group. Ours: AWS has 50.
pub const SCALING_TARGET_GROUPS_MAX: usize = 100;

/// Lines of what a revision changed. Ours: more than anybody reads.
pub const DIFFERENCES_SHOWN_MAX: usize = 100;

/// Targets that a group may have of the API's. Ours: ten times what ALB has.
pub const GROUP_TARGETS_MAX: usize = 10_000;

/// Weight by default. CLB.
pub const WEIGHT_DEFAULT: u8 = 10;

/// An instance's bandwidth in Mbit/s. Ours: to a terabit a second.
pub const BANDWIDTH: RangeInclusive<u32> = 0..=1_000_000;

/// Most addresses of `snat_addresses`. CLB has 10 to 20; ours has room for millions of connections to one target.
pub const SNAT_ADDRESSES_MAX: usize = 64;

/// Time between the starts of two checks. CLB: 2 s to 300 s; ours starts at 100 ms for fast failover.
pub const HEALTH_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

/// Check interval by default. CLB.
pub const HEALTH_INTERVAL_DEFAULT: Duration = Duration::from_secs(5);

/// How long a check waits for its answer. CLB: 2 s to 60 s; ours starts at 50 ms, half the shortest interval.
pub const HEALTH_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(60);

/// Check timeout by default. CLB.
pub const HEALTH_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// Results in a row that change a target's health. CLB and ALB: 2 to 10; ours starts at 1.
pub const HEALTH_THRESHOLD: RangeInclusive<u8> = 1..=10;

/// Threshold by default, both ways. CLB.
pub const HEALTH_THRESHOLD_DEFAULT: u8 = 3;

/// With no healthy target, send to all of them. ALB and NLB do.
pub const FAIL_OPEN_DEFAULT: bool = true;

/// Whether a tcp group's connections go to every zone alike by default. NLB: they stay in the balancer's.
pub const CROSS_ZONE_TCP_DEFAULT: bool = false;

/// Whether an http group's requests do. ALB: they do.
pub const CROSS_ZONE_HTTP_DEFAULT: bool = true;

const _: () = assert!(HEALTH_TIMEOUT_DEFAULT.as_nanos() < HEALTH_INTERVAL_DEFAULT.as_nanos());
const _: () = assert!(HEALTH_TIMEOUT.start().as_nanos() < HEALTH_INTERVAL.start().as_nanos());
