//! One client's life: connect, exchange, connect again when that ends, until nothing more is due. In UDP it opens a socket instead.
//!
//!     (a request of its own, if each gets a connection) --> connect --ok--> exchange --closed, or failed after answers--.
//!          ^                                                  `--error--> wait <--failed without-'                      |
//!          |                             longer each time, until an answer comes |                                      |
//!          `---------------------------------------------------------------------^--------------------------------------'
//!
//! A target that fails now and then is loaded on as it is: only one that does not answer at all is spared connections.
//! Before: core.rs. Next: exchange.rs, or datagrams.rs.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quanta::Instant;
use weir::ring::{Ring, TcpStream, options};

use super::core::Core;
use super::datagrams::{self, Sizes};
use super::exchange::{self, Ended};
use super::pacer::Turn;
use crate::plan::Pacing;
use crate::record::{ErrorKind, Times};
use crate::workload::Workload;

/// What pacer and watchdog see of a client.
#[derive(Default)]
pub(super) struct Client {
    /// Waits for something to be due.
    pub(super) idle: Cell<bool>,
    /// It is in the pacer's queue, whether or not it is still idle.
    pub(super) queued: Cell<bool>,
    /// What the pacer gave it to send: when it was due.
    pub(super) assigned: Cell<Option<Instant>>,
    /// When the oldest request without an answer was sent.
    pub(super) oldest: Cell<Option<Instant>>,
    /// That one waits too long.
    pub(super) expired: Cell<bool>,
    /// It had no answer since its last failure.
    pub(super) failing: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Client {
    /// Whom `wake` wakes.
    pub(super) fn remember(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    pub(super) fn wake(&self, ring: &Ring) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
            ring.note_runnable();
        }
    }
}

/// From `begin` until nothing more is due.
pub(super) async fn run(core: &Rc<Core>, client: &Rc<Client>, begin: Instant) {
    core.ring.alarm(begin).await;
    let mut wait = RETRY_FIRST;
    loop {
        let only = if core.plan.connection_per_request {
            let Some(due) = next_due(core, client).await else { return };
            // The connection is part of what is waited for.
            Some(Times { due, sent: Instant::now() })
        } else if core.pacer.is_closed(Instant::now()) {
            return;
        } else {
            None
        };
        let ended = match core.plan.workload {
            Workload::Tcp { .. } | Workload::Http(_) => match connect(core, only).await {
                Ok(stream) => exchange::run(core, client, &stream, only).await,
                Err(ended) => ended,
            },
            Workload::Udp { request_bytes, response_bytes } => {
                datagrams::run(core, client, Sizes { request: request_bytes, response: response_bytes }).await
            }
        };
        client.idle.set(false);
        client.oldest.set(None);
        match ended {
            Ended::Over => return,
            Ended::Connect => wait = RETRY_FIRST,
            Ended::Failed(kind, message) => {
                let was_failing = client.failing.get();
                core.note_trouble(client, kind, &message);
                if was_failing {
                    pause(core, client, wait).await;
                    wait = (wait * 2).min(RETRY_MOST);
                } else {
                    wait = RETRY_FIRST;
                }
            }
        }
        if let (Some(_), Pacing::Closed { think }) = (only, &core.plan.pacing)
            && !think.is_none()
        {
            let time = think.sample(&mut core.dice.borrow_mut());
            pause(core, client, time).await;
        }
    }
}

/// Waits, but not beyond the end.
async fn pause(core: &Core, client: &Client, time: Duration) {
    let mut alarm = pin!(core.ring.alarm(Instant::now() + time));
    poll_fn(|context| {
        client.remember(context);
        if core.pacer.is_closed(Instant::now()) {
            return Poll::Ready(());
        }
        alarm.as_mut().poll(context)
    })
    .await;
}

/// When the next request is due, once it is; `None` if none will be.
async fn next_due(core: &Core, client: &Rc<Client>) -> Option<Instant> {
    poll_fn(|context| {
        client.remember(context);
        match core.pacer.turn(client, Instant::now()) {
            Turn::Now(due) => Poll::Ready(Some(due)),
            Turn::Wait => Poll::Pending,
            Turn::Never => Poll::Ready(None),
        }
    })
    .await
}

/// A connection, for the request that is due or for any number.
async fn connect(core: &Core, only: Option<Times>) -> Result<TcpStream, Ended> {
    let target = core.plan.target;
    let started = Instant::now();
    let failed = |kind: ErrorKind, message: String| {
        core.fail(only.map_or(started, |times| times.due), kind, &message);
        Ended::Failed(kind, message)
    };
    let of_io = |error: std::io::Error| failed(ErrorKind::of_io(&error), format!("{target}: {error}"));
    let socket = options::target_socket(target, core.next_source()).map_err(of_io)?;
    let connecting = pin!(TcpStream::connect(&core.ring, socket, target));
    match core.ring.timeout(core.plan.connect_timeout, connecting).await {
        Ok(Ok(stream)) => {
            core.recorder.borrow_mut().connected(Instant::now());
            Ok(stream)
        }
        Ok(Err(error)) => Err(of_io(error)),
        Err(_) => Err(failed(ErrorKind::ConnectTimeout, format!("{target}: no connection"))),
    }
}

/// A client that fails again without an answer waits so long, then twice as long, and so on.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MOST: Duration = Duration::from_secs(1);
