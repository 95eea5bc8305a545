//! The shard as an HTTP connection sees it: `l7::World` with the kernel's sockets, and a lease of a target's connection.
//!
//!     request --pick--> target --idle connection--> lease --keep--> idle
//!                         |`--connect-----------------^ `--drop--> closed
//!                         `--failed: another target (requirement B6)
//!
//! Before: shard/accept.rs. Next: l7/http1/connection.rs.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use quanta::Instant;

use super::close::CloseReason;
use super::connect;
use super::group::{Pick, TargetState};
use super::http_log;
use super::listening::Serving;
use super::microseconds;
use super::run::Shard;
use super::table::Connection;
use crate::config::KeepAlive;
use crate::health::Failure;
use crate::l4::Side;
use crate::l7::forwarded::Client;
use crate::l7::replies::DATE_BYTES;
use crate::l7::{self, Ends, Exchange, Lease, Ordered, Patience, Tag, Terms, UrlScheme, Wanted, Why, Wish, World};
use crate::ring::{Pool, Sleep, TcpStream};

/// One client's connection and the shard around it.
pub(super) struct Port {
    shard: Rc<Shard>,
    connection: Rc<Connection>,
    local: SocketAddr,
    client: Client,
    /// What the request at hand is served by.
    serving: RefCell<Option<Rc<Serving>>>,
}

/// Targets that a request was tried on.
#[derive(Default)]
pub(super) struct Attempts {
    made: usize,
    tried: Vec<Rc<TargetState>>,
}

impl Port {
    pub(super) fn new(shard: Rc<Shard>, connection: Rc<Connection>, local: SocketAddr) -> Self {
        let client = Client::new(connection.client.ip(), UrlScheme::Http, local.port());
        Port { shard, connection, local, client, serving: RefCell::new(None) }
    }
}

/// Serves a client to its end.
pub(super) async fn serve(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    client: &TcpStream,
    local: SocketAddr,
) -> CloseReason {
    let port = Port::new(Rc::clone(shard), Rc::clone(connection), local);
    match l7::serve(&port, client).await {
        l7::Closed::Completed => CloseReason::Completed,
        l7::Closed::Idle => CloseReason::IdleTimeout,
        l7::Closed::Broken(why) => why.into(),
    }
}

impl From<Why> for CloseReason {
    fn from(why: Why) -> Self {
        match why {
            Why::ConnectFailed
            | Why::ConnectTimeout
            | Why::ResponseTimeout
            | Why::TargetClosed
            | Why::BadResponse
            | Why::NoTarget
            | Why::Loopback => CloseReason::TargetFailed,
            Why::IdleTimeout => CloseReason::IdleTimeout,
            Why::Deregistered => CloseReason::TargetUnbound,
            Why::Drained => CloseReason::Drained,
            Why::Host => CloseReason::Host,
            _ => CloseReason::ClientFailed,
        }
    }
}

impl World for Port {
    type Stream = TcpStream;
    type Lease = Leased;
    type Sleep = Sleep;
    type Attempts = Attempts;

    fn now(&self) -> Instant {
        self.shard.ring.now()
    }

    fn unix_time(&self) -> Duration {
        self.shard.clock.unix_time(self.now())
    }

    fn date(&self) -> [u8; DATE_BYTES] {
        self.shard.clock.date(self.now())
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        self.shard.ring.sleep_until(at)
    }

    fn pool(&self) -> &Rc<Pool> {
        self.shard.ring.pool()
    }

    fn ends(&self) -> Ends {
        Ends { client: self.connection.client, local: self.local }
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn roll(&self) -> u64 {
        self.shard.roll()
    }

    fn patience(&self) -> Patience {
        let serving = self.connection.listener.serving.borrow();
        let idle = self.connection.listener.config.borrow().idle_timeout;
        let header = serving.terms.as_ref().map_or(idle, |terms| terms.http.header_timeout);
        Patience { idle, header }
    }

    fn begin(&self) -> Option<Rc<Terms>> {
        let serving = Rc::clone(&self.connection.listener.serving.borrow());
        let terms = serving.terms.clone();
        self.serving.replace(Some(serving));
        terms
    }

    fn exchange(&self) -> Box<Exchange> {
        self.shard.exchanges.borrow_mut().pop().unwrap_or_else(|| Box::new(Exchange::new(self.now())))
    }

    fn recycle(&self, exchange: Box<Exchange>) {
        self.serving.replace(None);
        let mut exchanges = self.shard.exchanges.borrow_mut();
        if exchanges.len() < EXCHANGES_KEPT {
            exchanges.push(exchange);
        }
    }

    async fn lease(&self, wish: &Wish<'_>, attempts: &mut Attempts) -> Result<Leased, Why> {
        let serving = self.serving.borrow().clone();
        let Some(group) = serving.as_ref().and_then(|serving| serving.groups.get(wish.group)) else {
            return Err(Why::Host);
        };
        let attempts_max = group.retries() + 1;
        // Who comes back had a connection that was closed under its request.
        let mut why = if attempts.made == 0 { Why::NoTarget } else { Why::TargetClosed };
        while attempts.made < attempts_max {
            let target = match group.pick_for_request(&attempts.tried, wish) {
                Pick::Target(target) => target,
                Pick::Own => return Err(if attempts.made == 0 { Why::Loopback } else { why }),
                Pick::None => break,
            };
            attempts.made += 1;
            let keep_alive = group.keep_alive();
            if wish.connection == Wanted::Any
                && let Some((stream, begun_at)) = target.idle.borrow_mut().take(self.now(), &keep_alive)
            {
                target.claim().keep_request();
                return Ok(self.leased(&target, stream, begun_at, keep_alive, Use::Again));
            }
            let started = self.now();
            match connect::attempt(&self.shard, group, &target).await {
                Ok(stream) => {
                    self.connection.listener.connected(microseconds(self.now() - started));
                    target.count_request();
                    return Ok(self.leased(&target, stream, started, keep_alive, Use::First));
                }
                Err(connect::Missed::Unbound) => attempts.made -= 1,
                Err(connect::Missed::Failed(failure)) => {
                    target.connect_failed(failure);
                    why = match failure {
                        Failure::Timeout => Why::ConnectTimeout,
                        failure if failure.is_ours() => Why::Host,
                        _ => Why::ConnectFailed,
                    };
                    if failure.is_ours() && failure != Failure::NoSourcePort {
                        break;
                    }
                    attempts.tried.push(target);
                }
            }
        }
        Err(why)
    }

    fn missed(&self, attempts: &Attempts, missed: &mut Vec<SocketAddr>) {
        missed.extend(attempts.tried.iter().map(|target| target.address));
    }

    fn poll_ordered(&self, context: &mut Context<'_>) -> Poll<Ordered> {
        if let Poll::Ready(reason) = self.connection.poll_ordered_to_end(context) {
            let why = if reason == CloseReason::TargetUnbound { Why::Deregistered } else { Why::Drained };
            return Poll::Ready(Ordered::Now(why));
        }
        if self.is_finishing() { Poll::Ready(Ordered::Finish) } else { Poll::Pending }
    }

    fn is_finishing(&self) -> bool {
        self.shard.is_draining() || self.connection.listener.gone.get()
    }

    fn finished(&self, exchange: &Exchange) {
        self.connection.listener.answered(&exchange.record);
        http_log::record(&self.shard, &self.connection, self.ends(), exchange);
    }
}

impl Port {
    fn leased(
        &self,
        target: &Rc<TargetState>,
        stream: TcpStream,
        begun_at: Instant,
        keep_alive: KeepAlive,
        used: Use,
    ) -> Leased {
        self.connection.target.replace(Some(Rc::clone(target)));
        let busy =
            Busy { shard: Rc::clone(&self.shard), connection: Rc::clone(&self.connection), target: Rc::clone(target) };
        Leased { stream, begun_at, keep_alive, used, busy }
    }
}

/// A target's connection while a request uses it.
pub(super) struct Leased {
    stream: TcpStream,
    begun_at: Instant,
    keep_alive: KeepAlive,
    used: Use,
    busy: Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    First,
    Again,
}

/// A request in flight at a target: counted as its load, and ended with it where it is unbound for long enough.
struct Busy {
    shard: Rc<Shard>,
    connection: Rc<Connection>,
    target: Rc<TargetState>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.connection.target.take();
        // What was ordered because of this target is no affair of the client's next request.
        self.connection.forget(CloseReason::TargetUnbound);
        self.target.released();
    }
}

impl Lease for Leased {
    type Stream = TcpStream;

    fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn is_reused(&self) -> bool {
        self.used == Use::Again
    }

    fn address(&self) -> SocketAddr {
        self.busy.target.address
    }

    fn tag(&self) -> Option<Tag> {
        self.busy.target.tag.get()
    }

    fn moved(&self, from: Side, bytes: usize) {
        self.busy.target.moved(from, bytes as u64);
    }

    fn answered(&self, status: u16) {
        self.busy.target.answered(status);
    }

    fn keep(self) {
        let Leased { stream, begun_at, keep_alive, busy, .. } = self;
        if !busy.target.is_unbound() && !busy.shard.is_draining() {
            busy.target.idle.borrow_mut().put(stream, begun_at, busy.shard.ring.now(), &keep_alive);
        }
    }
}

/// Closes idle target connections that are of no use any more, for as long as the shard lives.
pub(super) async fn sweep_idle_connections(shard: Rc<Shard>) {
    loop {
        shard.ring.sleep(SWEEP_INTERVAL).await;
        let now = shard.ring.now();
        shard.each_group(|group| group.sweep_idle(now));
    }
}

/// How often idle target connections are looked at. A target's close is noticed ahead of use in any case.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Unused exchanges that a shard keeps: about 8 KiB each.
const EXCHANGES_KEPT: usize = 1024;
