//! From a listening socket to a connection with a slot in the table and a verdict.
//!
//!     multishot accept --> client address --> scheme (L8) --> security groups (A1) --> room (K5) --> table --> task
//!                                                 |                   |                    |                    |
//!                        reset, count <----no-----+-------------------+--------------------'                    |
//!                                                     HTTP, connect and relay, Flash <--------------------------'
//!
//! A shard stops accepting when its listener goes or it drains: what the kernel had completed by then is still served.
//! Before: shard/run.rs. Next: shard/connect.rs.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::close::{self, CloseReason};
use super::connect;
use super::group::Group;
use super::http;
use super::listening::Listening;
use super::run::Shard;
use super::security::warn_not_filtered;
use super::table::Connection;
use crate::acl::SocketFilter;
use crate::config::{Scheme, is_private};
use crate::l4::{self, Fault, Responded, Side};
use crate::ring::{Elapsed, Stream, TcpListener, TcpStream, first, options};

/// After a failed accept (no descriptor left, say) the backlog waits for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a connection was refused before a byte was read. Labels of `weir_connections_refused_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefuseReason {
    /// An internal listener and a public client address (requirement L8).
    Scheme,
    /// A security group drops the client (requirement A1).
    SecurityGroup,
    /// The shard holds as many connections as it may (requirement K5).
    Overload,
    /// The client was gone before we looked.
    Gone,
}

impl RefuseReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [RefuseReason; 4] =
        [RefuseReason::Scheme, RefuseReason::SecurityGroup, RefuseReason::Overload, RefuseReason::Gone];

    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RefuseReason::Scheme => "scheme",
            RefuseReason::SecurityGroup => "security_group",
            RefuseReason::Overload => "overload",
            RefuseReason::Gone => "gone",
        }
    }
}

/// A listening socket of this shard and the listener that it serves, which a reload may exchange.
pub(super) struct Acceptor {
    pub(super) listening: RefCell<Rc<Listening>>,
    /// Until it closes.
    socket: RefCell<Option<Rc<TcpListener>>>,
    /// What the socket got. `None`: what it came with, which the kernel may have refused, or what it has refused since; the next
    /// snapshot tries again.
    filter: RefCell<Option<SocketFilter>>,
    closing: Cell<bool>,
    closed: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Acceptor {
    /// Begins to accept on `socket`.
    pub(super) fn start(shard: &Rc<Shard>, socket: OwnedFd, listening: Rc<Listening>) -> Rc<Self> {
        let socket = Rc::new(TcpListener::new(&shard.ring, socket));
        let acceptor = Rc::new(Acceptor {
            listening: RefCell::new(listening),
            socket: RefCell::new(Some(Rc::clone(&socket))),
            filter: RefCell::default(),
            closing: Cell::new(false),
            closed: Cell::new(false),
            waker: Cell::new(None),
        });
        shard.ring.spawn(accept_loop(Rc::clone(shard), Rc::clone(&acceptor), socket));
        acceptor
    }

    /// Serves a listener of another snapshot.
    pub(super) fn apply(&self, listening: Rc<Listening>) {
        self.set_filter(&listening);
        self.listening.replace(listening);
    }

    /// Until the kernel has the new filter some are decided by the old one: whom it lets through is asked at accept
    /// again.
    fn set_filter(&self, listening: &Listening) {
        let config = listening.config.borrow();
        let socket = self.socket.borrow();
        let Some(socket) = socket.as_ref().filter(|_| self.filter.borrow().as_ref() != Some(&config.gate.filter))
        else {
            return;
        };
        let set = socket.set_filter(&config.gate.filter.for_kernel());
        self.filter.replace(set.is_ok().then(|| config.gate.filter.clone()));
        if let Err(error) = set {
            warn_not_filtered(&config.name, &error);
        }
    }

    /// Packets that the kernel has dropped for the socket.
    pub(super) fn kernel_drops(&self) -> u32 {
        self.socket.borrow().as_ref().and_then(|socket| socket.kernel_drops().ok()).unwrap_or(0)
    }

    /// Stops: the socket is closed as soon as its backlog is served.
    pub(super) fn close(&self) {
        self.socket.take();
        self.closing.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The socket is closed: its address may be bound again.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// The result of `work`, or `None` once `close` was called.
    async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if self.closing.get() {
                return Poll::Ready(None);
            }
            self.waker.set(Some(context.waker().clone()));
            work.as_mut().poll(context).map(Some)
        })
        .await
    }
}

async fn accept_loop(shard: Rc<Shard>, acceptor: Rc<Acceptor>, socket: Rc<TcpListener>) {
    loop {
        match acceptor.unless_closed(socket.accept()).await {
            Some(Ok(client)) => {
                shard.accept_worked();
                admit(&shard, &acceptor, client);
            }
            Some(Err(error)) => {
                acceptor.listening.borrow().counts.borrow_mut().accept_errors += 1;
                shard.accept_failed(&error);
                acceptor.unless_closed(shard.ring.sleep(ACCEPT_PAUSE)).await;
            }
            None => break,
        }
    }
    // The acceptor has let go of it.
    if let Some(socket) = Rc::into_inner(socket) {
        for client in socket.close().await {
            admit(&shard, &acceptor, client);
        }
    }
    acceptor.closed.set(true);
}

fn admit(shard: &Rc<Shard>, acceptor: &Acceptor, socket: OwnedFd) {
    let listening = Rc::clone(&acceptor.listening.borrow());
    listening.counts.borrow_mut().accepted += 1;
    let client = match verdict(shard, &listening, &socket) {
        Ok(client) => client,
        Err(reason) => {
            listening.counts.borrow_mut().refused[reason as usize] += 1;
            return options::reset(socket);
        }
    };
    listening.counts.borrow_mut().active += 1;
    let connection = Connection::new(shard.table.next_number(), client, listening, shard.ring.now());
    let id = shard.table.insert(Rc::clone(&connection));
    let serving = Rc::clone(&connection.listener.serving.borrow());
    let local = serving.terms.as_ref().and_then(|_| options::local_address(&socket).ok());
    let stream = TcpStream::new(&shard.ring, socket);
    if let Some(group) = &serving.relay {
        return shard.ring.spawn(serve_tcp(Rc::clone(shard), id, connection, stream, Rc::clone(group)));
    }
    if let Some(policy) = &serving.policy {
        return shard.ring.spawn(serve_policy(Rc::clone(shard), id, connection, stream, Rc::clone(policy)));
    }
    let local = local.unwrap_or_else(|| connection.listener.config.borrow().address);
    shard.ring.spawn(serve_http(Rc::clone(shard), id, connection, stream, local));
}

fn verdict(shard: &Shard, listening: &Listening, socket: &OwnedFd) -> Result<SocketAddr, RefuseReason> {
    let client = options::peer_address(socket).map_err(|_| RefuseReason::Gone)?;
    if listening.config.borrow().scheme == Scheme::Internal && !is_private(client.ip()) {
        return Err(RefuseReason::Scheme);
    }
    if !passes_security_groups(shard, listening, client.ip()) {
        return Err(RefuseReason::SecurityGroup);
    }
    if shard.is_full() {
        return Err(RefuseReason::Overload);
    }
    shard.make_room();
    Ok(client)
}

/// The balancer's group, then the listener's: both must accept (requirement A1).
fn passes_security_groups(shard: &Shard, listening: &Listening, client: IpAddr) -> bool {
    let gate = &listening.config.borrow().gate;
    let by_balancer = gate.balancer.verdict(client);
    shard.decisions.borrow_mut().count(by_balancer);
    if !by_balancer.allowed {
        return false;
    }
    let by_listener = gate.listener.verdict(client);
    listening.decisions.borrow_mut().count(by_listener);
    by_listener.allowed
}

/// The whole of a connection of an http listener.
async fn serve_http(shard: Rc<Shard>, id: usize, connection: Rc<Connection>, client: TcpStream, local: SocketAddr) {
    let reason = http::serve(&shard, &connection, &client, local).await;
    if !matches!(reason, CloseReason::Completed | CloseReason::IdleTimeout) {
        client.abort();
    }
    close::finish(&shard, id, &connection, reason);
}

/// The whole of a connection to the Flash policy responder (requirement L6).
async fn serve_policy(shard: Rc<Shard>, id: usize, connection: Rc<Connection>, client: TcpStream, policy: Rc<str>) {
    let limit = connection.listener.config.borrow().idle_timeout;
    let reason = {
        let received = |bytes| connection.moved(shard.ring.now(), Side::Client, bytes);
        let answer = pin!(l4::answer_policy(&client, policy.as_bytes(), shard.ring.pool(), received));
        let in_time = pin!(shard.ring.timeout(limit, answer));
        let ordered_to_end = pin!(connection.ordered_to_end());
        match first(in_time, ordered_to_end).await {
            Ok(Ok(Ok(Responded::Answered))) => CloseReason::Completed,
            Ok(Ok(Ok(Responded::NotAsked))) => CloseReason::UnknownRequest,
            Ok(Ok(Err(error))) => Err(Fault { side: Side::Client, error }).into(),
            Ok(Err(Elapsed)) => CloseReason::IdleTimeout,
            Err(reason) => reason,
        }
    };
    if !matches!(reason, CloseReason::Completed | CloseReason::UnknownRequest | CloseReason::IdleTimeout) {
        client.abort();
    }
    close::finish(&shard, id, &connection, reason);
}

/// The whole of a connection of a tcp listener: connect, relay, close.
async fn serve_tcp(shard: Rc<Shard>, id: usize, connection: Rc<Connection>, client: TcpStream, group: Rc<Group>) {
    let reason = connect_and_relay(&shard, &connection, &client, &group).await;
    if reason != CloseReason::Completed {
        client.abort();
    }
    close::finish(&shard, id, &connection, reason);
}

async fn connect_and_relay(shard: &Shard, connection: &Connection, client: &TcpStream, group: &Group) -> CloseReason {
    let mut ordered_to_end = pin!(connection.ordered_to_end());
    // Boxed for as long as it takes: beside the relay's few bytes it would be most of what an idle connection costs.
    let mut connected = Box::pin(connect::to_target(shard, connection, group));
    let target = match first(connected.as_mut(), ordered_to_end.as_mut()).await {
        Ok(Ok(target)) => target,
        Ok(Err(reason)) | Err(reason) => return reason,
    };
    drop(connected);
    let relayed = pin!(l4::relay(client, &target, |from, bytes| connection.moved(shard.ring.now(), from, bytes)));
    let idle = pin!(connection.idle(&shard.ring));
    let ended = pin!(first(idle, ordered_to_end));
    let reason = match first(relayed, ended).await {
        Ok(end) => end.into(),
        Err(Ok(())) => CloseReason::IdleTimeout,
        Err(Err(reason)) => reason,
    };
    if reason != CloseReason::Completed {
        target.abort();
    }
    reason
}
