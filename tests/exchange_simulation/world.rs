//! The world of the simulation: streams, time and targets that move only when the scheduler says so.
//!
//!     serve --lease--> idle connection | Connecting --scheduler--> connection, or why there is none
//!     serve --sleep--> Sleeper --Clock::advance--> woken
//!     serve --poll_ordered--> ordered, by the scheduler
//!
//! Every stream is a `Watched`, which notes when something moved: so a timeout can be held against what it claims.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quanta::Instant;
use weir::config::KeepAlive;
use weir::l4::Side;
use weir::l7::forwarded::Client;
use weir::l7::replies::{self, DATE_BYTES};
use weir::l7::{
    Ends, Exchange, Lease, Ordered, Patience, Tag, TargetConnections, Terms, UrlScheme, Wanted, Why, Wish, World,
};
use weir::ring::sim::{self, Far, SimStream};
use weir::ring::{Buf, Pool, Stream};

/// Simulated time.
pub struct Clock {
    base: Instant,
    at: Cell<Duration>,
    sleepers: RefCell<Vec<Weak<Sleeper>>>,
}

struct Sleeper {
    at: Duration,
    waker: RefCell<Option<Waker>>,
}

/// A deadline.
pub struct Sleep {
    clock: Rc<Clock>,
    sleeper: Rc<Sleeper>,
}

impl Clock {
    pub fn new() -> Rc<Self> {
        Rc::new(Clock { base: Instant::now(), at: Cell::default(), sleepers: RefCell::default() })
    }

    /// Since the beginning.
    pub fn at(&self) -> Duration {
        self.at.get()
    }

    pub fn now(&self) -> Instant {
        self.base + self.at.get()
    }

    /// It is `at` now, or later.
    pub fn advance(&self, at: Duration) {
        self.at.set(self.at.get().max(at));
        let due = |sleeper: &Rc<Sleeper>| sleeper.at <= self.at.get();
        let woken: Vec<_> = self.live().filter(due).filter_map(|sleeper| sleeper.waker.take()).collect();
        woken.into_iter().for_each(Waker::wake);
    }

    /// When the next deadline is that somebody waits for.
    pub fn next_due(&self) -> Option<Duration> {
        self.live().filter(|sleeper| sleeper.waker.borrow().is_some()).map(|sleeper| sleeper.at).min()
    }

    fn live(&self) -> impl Iterator<Item = Rc<Sleeper>> {
        let mut sleepers = self.sleepers.borrow_mut();
        sleepers.retain(|sleeper| sleeper.strong_count() > 0);
        sleepers.iter().filter_map(Weak::upgrade).collect::<Vec<_>>().into_iter()
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.sleeper.at <= self.clock.at() {
            return Poll::Ready(());
        }
        self.sleeper.waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }
}

/// The longest time in which none of some events happened.
#[derive(Default)]
pub struct Quiet {
    since: Cell<Duration>,
    longest: Cell<Duration>,
}

impl Quiet {
    fn begin(&self, now: Duration) {
        self.since.set(now);
        self.longest.set(Duration::ZERO);
    }

    fn end(&self, now: Duration) {
        self.longest.set(self.longest.get().max(now.saturating_sub(self.since.get())));
        self.since.set(now);
    }

    fn longest(&self, now: Duration) -> Duration {
        self.longest.get().max(now.saturating_sub(self.since.get()))
    }
}

/// What moved, of both sides of the exchange at hand.
#[derive(Default)]
pub struct Watch {
    /// Counts whatever the protocol code did.
    pub moves: Cell<u64>,
    /// Bytes that the client's stream took for sending.
    pub sent: Cell<u64>,
    /// Since the target sent or took something, or the client took something that held the target up.
    target: Quiet,
    /// Since the client sent something, or the target took some of it.
    client: Quiet,
    /// Since the client took something, or there was more for it.
    reader: Quiet,
}

impl Watch {
    fn received(&self, side: Side, now: Duration) {
        self.moves.set(self.moves.get() + 1);
        match side {
            Side::Client => self.client.end(now),
            Side::Target => [&self.target, &self.reader].into_iter().for_each(|quiet| quiet.end(now)),
        }
    }

    fn took(&self, side: Side, now: Duration) {
        self.moves.set(self.moves.get() + 1);
        match side {
            Side::Client => [&self.target, &self.reader].into_iter().for_each(|quiet| quiet.end(now)),
            Side::Target => [&self.target, &self.client].into_iter().for_each(|quiet| quiet.end(now)),
        }
    }

    fn begin(&self, now: Duration) {
        [&self.target, &self.client, &self.reader].into_iter().for_each(|quiet| quiet.begin(now));
    }
}

/// A stream that tells `Watch` what passes.
pub struct Watched {
    inner: SimStream,
    side: Side,
    watch: Rc<Watch>,
    clock: Rc<Clock>,
}

impl Watched {
    pub fn new(pool: &Rc<Pool>, side: Side, watch: &Rc<Watch>, clock: &Rc<Clock>) -> (Self, Far) {
        let (inner, far) = sim::connection(pool);
        (Watched { inner, side, watch: Rc::clone(watch), clock: Rc::clone(clock) }, far)
    }
}

impl Stream for Watched {
    fn poll_recv(&self, context: &mut Context<'_>) -> Poll<io::Result<Option<Buf>>> {
        let received = self.inner.poll_recv(context);
        // Who looks whether an idle connection is alive waits for nothing.
        let is_look = context.waker().will_wake(Waker::noop());
        if received.is_ready() && !is_look {
            self.watch.received(self.side, self.clock.at());
        }
        received
    }

    fn poll_failed(&self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.inner.poll_failed(context)
    }

    fn poll_send(&self, buf: &mut Option<Buf>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let bytes = buf.as_ref().map_or(0, |buf| buf.len());
        let sent = self.inner.poll_send(buf, context);
        if sent.is_ready() {
            self.watch.took(self.side, self.clock.at());
            if self.side == Side::Client && buf.is_none() {
                self.watch.sent.set(self.watch.sent.get() + bytes as u64);
            }
        }
        sent
    }

    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(context)
    }

    fn finish_sending(&self) -> io::Result<()> {
        self.watch.moves.set(self.watch.moves.get() + 1);
        self.inner.finish_sending()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

/// A target as the balancer keeps it.
pub struct Target {
    address: SocketAddr,
    pub idle: RefCell<TargetConnections<Watched>>,
}

/// What the connections of one seed go by.
#[derive(Debug, Clone)]
pub struct Settings {
    pub keep_alive: KeepAlive,
    pub idle_timeout: Duration,
    pub retries: usize,
    /// One connect in so many fails; 0: none does.
    pub connect_fails: usize,
}

/// A connect on its way.
#[derive(Default)]
pub struct Connecting {
    outcome: RefCell<Option<Result<Watched, Why>>>,
    waker: RefCell<Option<Waker>>,
}

impl Connecting {
    pub fn finish(&self, outcome: Result<Watched, Why>) {
        self.outcome.replace(Some(outcome));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What is kept of an exchange.
#[derive(Debug, Clone)]
pub struct Done {
    pub number: u32,
    pub status: u16,
    pub target_status: Option<u16>,
    pub why: Option<Why>,
    pub targets: usize,
    pub sent_bytes: u64,
    pub has_terms: bool,
    /// The longest silences, as `Watch` has them.
    pub target_quiet: Duration,
    pub client_quiet: Duration,
    pub reader_quiet: Duration,
    pub head_took: Duration,
}

/// See the module's header.
pub struct SimWorld {
    pub clock: Rc<Clock>,
    pub watch: Rc<Watch>,
    pub settings: Settings,
    pub targets: Rc<Vec<Target>>,
    pub connecting: RefCell<Vec<Rc<Connecting>>>,
    pub done: RefCell<Vec<Done>>,
    pub ordered: Cell<Option<Ordered>>,
    pub listener_gone: Cell<bool>,
    /// Leases of idle connections.
    pub reused: Cell<u64>,
    /// New connections that were asked for because an idle one had failed.
    pub renewed: Cell<u64>,
    last_was_reused: Cell<bool>,
    /// Exchanges that are in use.
    pub in_use: Cell<usize>,
    #[expect(clippy::vec_box, reason = "as `World` hands them out")]
    exchanges: RefCell<Vec<Box<Exchange>>>,
    ordered_waker: RefCell<Option<Waker>>,
    pool: Rc<Pool>,
    terms: Rc<Terms>,
    client: Client,
    dice: RefCell<fastrand::Rng>,
}

const CLIENT: &str = "203.0.113.7:40000";
const LOCAL: &str = "192.0.2.1:80";
/// What targets must hear of the client.
pub const CLIENT_ADDRESS: &str = "203.0.113.7";

impl SimWorld {
    pub fn new(pool: &Rc<Pool>, terms: Rc<Terms>, settings: Settings, targets: usize, dice: fastrand::Rng) -> Self {
        let target = |index: u8| Target { address: ([10, 0, 0, 1 + index], 80).into(), idle: RefCell::default() };
        let ends = ends();
        SimWorld {
            clock: Clock::new(),
            watch: Rc::default(),
            settings,
            targets: Rc::new((0..).take(targets).map(target).collect()),
            connecting: RefCell::default(),
            done: RefCell::default(),
            ordered: Cell::default(),
            listener_gone: Cell::default(),
            reused: Cell::default(),
            renewed: Cell::default(),
            last_was_reused: Cell::default(),
            in_use: Cell::default(),
            exchanges: RefCell::default(),
            ordered_waker: RefCell::default(),
            pool: Rc::clone(pool),
            terms,
            client: Client::new(ends.client.ip(), UrlScheme::Http, ends.local.port()),
            dice: RefCell::new(dice),
        }
    }

    pub fn order(&self, ordered: Ordered) {
        self.ordered.set(Some(ordered));
        if let Some(waker) = self.ordered_waker.take() {
            waker.wake();
        }
    }

    async fn connect(&self) -> Result<Watched, Why> {
        let connecting = Rc::new(Connecting::default());
        self.connecting.borrow_mut().push(Rc::clone(&connecting));
        poll_fn(|context| {
            connecting.waker.replace(Some(context.waker().clone()));
            connecting.outcome.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn lease_of(&self, target: usize, stream: Watched, begun_at: Instant, reused: bool) -> SimLease {
        self.watch.begin(self.clock.at());
        self.watch.moves.set(self.watch.moves.get() + 1);
        self.last_was_reused.set(reused);
        let (targets, clock) = (Rc::clone(&self.targets), Rc::clone(&self.clock));
        SimLease { stream, target, targets, clock, keep_alive: self.settings.keep_alive, begun_at, reused }
    }
}

fn ends() -> Ends {
    Ends { client: CLIENT.parse().expect("an address"), local: LOCAL.parse().expect("an address") }
}

/// Which targets a request was tried on.
#[derive(Default)]
pub struct Attempts {
    failed: Vec<usize>,
}

impl World for SimWorld {
    type Stream = Watched;
    type Lease = SimLease;
    type Sleep = Sleep;
    type Attempts = Attempts;

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.clock.at()
    }

    fn date(&self) -> [u8; DATE_BYTES] {
        replies::date(self.unix_time().as_secs())
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        let sleeper = Rc::new(Sleeper { at: at - self.clock.base, waker: RefCell::default() });
        self.clock.sleepers.borrow_mut().push(Rc::downgrade(&sleeper));
        Sleep { clock: Rc::clone(&self.clock), sleeper }
    }

    fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    fn ends(&self) -> Ends {
        ends()
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn roll(&self) -> u64 {
        self.dice.borrow_mut().u64(..)
    }

    fn patience(&self) -> Patience {
        Patience { idle: self.settings.idle_timeout, header: self.terms.http.header_timeout }
    }

    fn begin(&self) -> Option<Rc<Terms>> {
        (!self.listener_gone.get()).then(|| Rc::clone(&self.terms))
    }

    fn exchange(&self) -> Box<Exchange> {
        self.watch.begin(self.clock.at());
        self.in_use.set(self.in_use.get() + 1);
        assert_eq!(self.in_use.get(), 1, "a connection has one exchange at a time");
        self.exchanges.borrow_mut().pop().unwrap_or_else(|| Box::new(Exchange::new(self.now())))
    }

    fn recycle(&self, exchange: Box<Exchange>) {
        self.in_use.set(self.in_use.get() - 1);
        self.exchanges.borrow_mut().push(exchange);
    }

    fn missed(&self, _: &Attempts, _: &mut Vec<SocketAddr>) {}

    async fn lease(&self, wish: &Wish<'_>, attempts: &mut Attempts) -> Result<SimLease, Why> {
        assert_eq!((wish.group, wish.client), (0, IpAddr::from([203, 0, 113, 7])));
        let mut why = Why::NoTarget;
        while attempts.failed.len() <= self.settings.retries {
            let left: Vec<_> = (0..self.targets.len()).filter(|target| !attempts.failed.contains(target)).collect();
            let Some(&target) = self.dice.borrow_mut().choice(&left) else { break };
            if wish.connection == Wanted::Any {
                let taken = self.targets[target].idle.borrow_mut().take(self.now(), &self.settings.keep_alive);
                if let Some((stream, begun_at)) = taken {
                    self.reused.set(self.reused.get() + 1);
                    return Ok(self.lease_of(target, stream, begun_at, true));
                }
            } else {
                assert!(self.last_was_reused.get(), "only an idle connection may fail without being at fault");
                self.renewed.set(self.renewed.get() + 1);
            }
            match self.connect().await {
                Ok(stream) => return Ok(self.lease_of(target, stream, self.now(), false)),
                Err(failed) => why = failed,
            }
            attempts.failed.push(target);
        }
        Err(why)
    }

    fn poll_ordered(&self, context: &mut Context<'_>) -> Poll<Ordered> {
        self.ordered_waker.replace(Some(context.waker().clone()));
        self.ordered.get().map_or(Poll::Pending, Poll::Ready)
    }

    fn is_finishing(&self) -> bool {
        self.ordered.get().is_some()
    }

    fn finished(&self, exchange: &Exchange) {
        let (record, now) = (&exchange.record, self.clock.at());
        assert_eq!(record.ended_at, self.now(), "when it ended");
        self.done.borrow_mut().push(Done {
            number: record.number,
            status: record.status,
            target_status: record.target_status,
            why: record.why,
            targets: record.targets.len(),
            sent_bytes: record.sent_bytes,
            has_terms: record.terms.is_some(),
            target_quiet: self.watch.target.longest(now),
            client_quiet: self.watch.client.longest(now),
            reader_quiet: self.watch.reader.longest(now),
            head_took: self.now() - record.started_at,
        });
    }
}

/// A target's connection in use.
pub struct SimLease {
    stream: Watched,
    target: usize,
    targets: Rc<Vec<Target>>,
    clock: Rc<Clock>,
    keep_alive: KeepAlive,
    begun_at: Instant,
    reused: bool,
}

impl Lease for SimLease {
    type Stream = Watched;

    fn stream(&self) -> &Watched {
        &self.stream
    }

    fn is_reused(&self) -> bool {
        self.reused
    }

    fn address(&self) -> SocketAddr {
        self.targets[self.target].address
    }

    fn tag(&self) -> Option<Tag> {
        None
    }

    fn moved(&self, _: Side, _: usize) {}

    fn answered(&self, status: u16) {
        assert!(status == 101 || (200..=999).contains(&status), "{status} is not final");
    }

    fn keep(self) {
        let SimLease { stream, target, targets, clock, keep_alive, begun_at, .. } = self;
        targets[target].idle.borrow_mut().put(stream, begun_at, clock.now(), &keep_alive);
    }
}
