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

/// How long an idle connection to a target is kept. nginx's `keepalive_timeout` of an upstream has no bounds; these are ours.
pub const KEEP_ALIVE_IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Idle timeout towards targets by default. Ours: just below the 5 s after which Apache httpd, Node.js and Uvicorn close an idle
/// connection, so that a request does not meet that close on its way; whoever knows the targets better says so. (nginx 60 s,
/// HAProxy's `pool-purge-delay` 5 s.)
pub const KEEP_ALIVE_IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(4);

/// How old a connection to a target may get. Ours: to a day.
pub const KEEP_ALIVE_LIFETIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Lifetime by default. nginx's `keepalive_time`.
pub const KEEP_ALIVE_LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);

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

/// Weight by default. CLB.
pub const WEIGHT_DEFAULT: u8 = 10;

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

const _: () = assert!(HEALTH_TIMEOUT_DEFAULT.as_nanos() < HEALTH_INTERVAL_DEFAULT.as_nanos());
const _: () = assert!(HEALTH_TIMEOUT.start().as_nanos() < HEALTH_INTERVAL.start().as_nanos());
