//! What a connection needs of its shard: time, buffers, targets, and somebody who counts. The shard is one world; the
//! simulation of the tests is the other.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quanta::Instant;

use super::forwarded::Client;
use super::http1::Exchange;
use super::replies::DATE_BYTES;
use super::router::Router;
use super::stickiness::Tag;
use super::why::Why;
use crate::config::{Http, HttpGroup, Listener, Service, Snapshot, TargetGroup};
use crate::l4::Side;
use crate::ring::{Pool, Stream};

/// The surroundings of one client's connection.
pub trait World {
    /// The client's connection.
    type Stream: Stream;
    /// A target's connection.
    type Lease: Lease;
    /// A deadline.
    type Sleep: Future<Output = ()> + Unpin;
    /// Which targets one request was tried on.
    type Attempts: Default;

    /// Time of this turn.
    fn now(&self) -> Instant;

    /// Since 1970.
    fn unix_time(&self) -> Duration;

    /// `Date` of now (RFC 9110 5.6.7).
    fn date(&self) -> [u8; DATE_BYTES];

    /// Ends at a deadline.
    fn sleep_until(&self, at: Instant) -> Self::Sleep;

    /// The shard's buffers.
    fn pool(&self) -> &Rc<Pool>;

    /// Who is at the other end, and which of our addresses it came to.
    fn ends(&self) -> Ends;

    /// The client as targets are told of it.
    fn client(&self) -> &Client;

    /// A random number.
    fn roll(&self) -> u64;

    /// How long a client may be silent.
    fn patience(&self) -> Patience;

    /// A request begins: what it goes by, to its end. `None` when the listener is gone or no longer serves HTTP.
    fn begin(&self) -> Option<Rc<Terms>>;

    /// An exchange to be used, as `recycle` got it or new.
    fn exchange(&self) -> Box<Exchange>;

    /// The exchange is over and was counted.
    fn recycle(&self, exchange: Box<Exchange>);

    /// A connection to a target: an idle one, or a new one, to another target where one fails (requirement B6).
    fn lease(&self, wish: &Wish<'_>, attempts: &mut Self::Attempts) -> impl Future<Output = Result<Self::Lease, Why>>;

    /// Appends the targets that did not accept a connection, for the log.
    fn missed(&self, attempts: &Self::Attempts, missed: &mut Vec<SocketAddr>);

    /// Ready when the connection is to end though neither side wants it to.
    fn poll_ordered(&self, context: &mut Context<'_>) -> Poll<Ordered>;

    /// The shard drains, or the listener is gone: this response is the connection's last.
    fn is_finishing(&self) -> bool;

    /// A response's last byte is with the client's socket, or it will never be: counters, log.
    fn finished(&self, exchange: &Exchange);
}

/// How a connection is ordered to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordered {
    /// After the response that is on its way; at once when there is none.
    Finish,
    /// Now.
    Now(Why),
}

/// The two ends of a client's connection.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The client's address.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub local: SocketAddr,
}

/// How long a client may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Between requests.
    pub idle: Duration,
    /// From a head's first byte to its last.
    pub header: Duration,
}

/// What a request goes by: the snapshot that was current when it began.
#[derive(Debug, Clone)]
pub struct Terms {
    /// All of it.
    pub snapshot: Arc<Snapshot>,
    /// The request's listener.
    pub listener: Arc<Listener>,
    /// What that listener does with requests.
    pub http: Arc<Http>,
    /// Its rules, as this shard has them for itself.
    pub router: Rc<Router>,
}

impl Terms {
    /// Those of a listener, if it serves HTTP. Where it does what it did under the terms `before`, the shard keeps its copy of the
    /// rules: to copy those of all listeners at each change would keep its connections waiting.
    #[must_use]
    pub fn new(snapshot: &Arc<Snapshot>, listener: &Arc<Listener>, before: Option<&Terms>) -> Option<Self> {
        let Service::Http(http) = &listener.service else { return None };
        let as_before = before.filter(|before| Arc::ptr_eq(&before.http, http));
        Some(Terms {
            snapshot: Arc::clone(snapshot),
            listener: Arc::clone(listener),
            http: Arc::clone(http),
            router: as_before.map_or_else(|| Rc::new(http.router.of_one_shard()), |before| Rc::clone(&before.router)),
        })
    }

    /// A group that the listener's rules name. `None` for an index that they cannot name.
    #[must_use]
    pub fn group(&self, index: usize) -> Option<(&TargetGroup, &HttpGroup)> {
        let group = self.snapshot.groups.get(index)?;
        Some((group, group.http.as_ref()?))
    }
}

/// Which target a request wants.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'w> {
    /// Index of the group in the terms' snapshot.
    pub group: usize,
    /// The client's address: its own target is avoided (requirement B4).
    pub client: IpAddr,
    /// The target of its session, while that may be used.
    pub sticky: Option<&'w Tag>,
    /// Which connections will do.
    pub connection: Wanted,
}

/// Which connections to a target will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// An idle one or a new one.
    Any,
    /// A new one: an idle one has just failed.
    New,
}

/// A target's connection while a request uses it. Dropping it closes the connection.
pub trait Lease {
    /// The connection.
    type Stream: Stream;

    /// It.
    fn stream(&self) -> &Self::Stream;

    /// It has served a request before: its target may have closed it just when this one was sent.
    fn is_reused(&self) -> bool;

    /// The target's address.
    fn address(&self) -> SocketAddr;

    /// The target in its group's sessions.
    fn tag(&self) -> Option<Tag>;

    /// `bytes` came from one side and go to the other.
    fn moved(&self, from: Side, bytes: usize);

    /// The target's final response began.
    fn answered(&self, status: u16);

    /// The request is over and the connection fit for another one.
    fn keep(self);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, parse};

    #[test]
    fn a_shard_keeps_its_copy_of_rules_that_stay_as_they_were() {
        let text = |status: u16, retries: u8| {
            format!(
                "[[listener]]\nname='web'\nprotocol='http'\naddress='127.0.0.1:80'\n\
                 default_action={{forward='app'}}\n\
                 [[listener.rule]]\npriority=1\npath='/x'\naction={{fixed_response={{status={status}}}}}\n\
                 [[target_group]]\nname='app'\nprotocol='http'\nretries={retries}\n"
            )
        };
        let snapshot = |text: &str| parse("t", text, Mode::Run).unwrap_or_else(|errors| panic!("{errors}"));
        let terms = |snapshot: &Arc<Snapshot>, before| Terms::new(snapshot, &snapshot.listeners[0], before).unwrap();
        let first = Arc::new(snapshot(&text(404, 1)));
        let before = terms(&first, None);
        let another_group = Arc::new(snapshot(&text(404, 2)).sharing_with(&first));
        assert!(Rc::ptr_eq(&terms(&another_group, Some(&before)).router, &before.router));
        let another_rule = Arc::new(snapshot(&text(410, 1)).sharing_with(&first));
        let after = terms(&another_rule, Some(&before));
        assert!(!Rc::ptr_eq(&after.router, &before.router) && *after.router == router_of(&another_rule));
    }

    fn router_of(snapshot: &Snapshot) -> Router {
        let Service::Http(http) = &snapshot.listeners[0].service else { panic!("it serves http") };
        http.router.clone()
    }
}
