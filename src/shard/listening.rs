//! A listener as this shard runs it: what it serves by now, and its counters across reloads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use hdrhistogram::Histogram;

use super::accept::Acceptor;
use super::close::CloseReason;
use super::group::Group;
use super::report::{HttpCounts, ListenerCounts, ListenerReport, histogram_us};
use super::security::Decisions;
use crate::config::Listener;
use crate::l7::{Record, Terms};

/// One listener. It outlives reloads that keep its name.
pub(super) struct Listening {
    pub(super) config: RefCell<Arc<Listener>>,
    /// What connections and requests that begin now are served by.
    pub(super) serving: RefCell<Rc<Serving>>,
    pub(super) counts: RefCell<ListenerCounts>,
    pub(super) http_counts: RefCell<HttpCounts>,
    /// Of its own security group.
    pub(super) decisions: RefCell<Decisions>,
    histograms: RefCell<Histograms>,
    /// No snapshot names it any more: its HTTP connections end after the response that is on its way.
    pub(super) gone: Cell<bool>,
}

/// What a listener serves by: one snapshot's.
pub(super) struct Serving {
    /// Where each connection goes; `None` for http.
    pub(super) relay: Option<Rc<Group>>,
    /// The document of the Flash policy responder, as this shard has it for itself; `None` for others.
    pub(super) policy: Option<Rc<str>>,
    /// What each request goes by; `None` for tcp.
    pub(super) terms: Option<Rc<Terms>>,
    /// The groups of the snapshot, by its indices.
    pub(super) groups: Rc<[Rc<Group>]>,
}

/// All in microseconds.
#[expect(clippy::struct_field_names, reason = "the unit belongs to each name")]
struct Histograms {
    connect_us: Histogram<u64>,
    first_byte_us: Histogram<u64>,
    duration_us: Histogram<u64>,
    request_us: Histogram<u64>,
}

impl Listening {
    pub(super) fn new(config: Arc<Listener>, serving: Rc<Serving>) -> Rc<Self> {
        let decisions = RefCell::new(Decisions::of(&config.security_group));
        Rc::new(Listening {
            config: RefCell::new(config),
            serving: RefCell::new(serving),
            counts: RefCell::default(),
            http_counts: RefCell::default(),
            decisions,
            histograms: RefCell::new(Histograms {
                connect_us: histogram_us(),
                first_byte_us: histogram_us(),
                duration_us: histogram_us(),
                request_us: histogram_us(),
            }),
            gone: Cell::new(false),
        })
    }

    /// Goes on under another snapshot.
    pub(super) fn apply(&self, config: &Arc<Listener>, serving: Rc<Serving>) {
        self.decisions.borrow_mut().apply(&config.security_group);
        self.config.replace(Arc::clone(config));
        self.serving.replace(serving);
    }

    /// It serves requests, not connections.
    pub(super) fn is_http(&self) -> bool {
        self.serving.borrow().terms.is_some()
    }

    pub(super) fn connected(&self, after_us: u64) {
        self.histograms.borrow_mut().connect_us.saturating_record(after_us);
    }

    pub(super) fn target_answered(&self, after_us: u64) {
        self.histograms.borrow_mut().first_byte_us.saturating_record(after_us);
    }

    /// A request is over.
    pub(super) fn answered(&self, record: &Record) {
        let counts = &mut *self.http_counts.borrow_mut();
        counts.requests += 1;
        if let Some(class) = counts.classes.get_mut(usize::from(record.status / 100).wrapping_sub(1)) {
            *class += 1;
        }
        match record.why {
            Some(why) => counts.errors[why as usize] += 1,
            None => counts.target_5xx += u64::from(record.target_status.is_some_and(|status| status >= 500)),
        }
        counts.findings[record.finding.class as usize] += 1;
        counts.upgraded += u64::from(record.upgraded);
        {
            let counts = &mut *self.counts.borrow_mut();
            counts.client_bytes += record.client_bytes;
            counts.target_bytes += record.sent_bytes;
        }
        let histograms = &mut *self.histograms.borrow_mut();
        histograms.request_us.saturating_record(super::microseconds(record.ended_at - record.started_at));
        if let (Some(leased_at), Some(answered_at)) = (record.leased_at, record.answered_at) {
            histograms.first_byte_us.saturating_record(super::microseconds(answered_at - leased_at));
        }
    }

    pub(super) fn closed(&self, reason: CloseReason, lasted_us: u64) {
        self.histograms.borrow_mut().duration_us.saturating_record(lasted_us);
        let counts = &mut *self.counts.borrow_mut();
        counts.active -= 1;
        counts.closed[reason as usize] += 1;
    }

    /// `acceptor` is there where it is bound.
    pub(super) fn report(&self, acceptor: Option<&Acceptor>) -> ListenerReport {
        let config = self.config.borrow();
        let histograms = self.histograms.borrow();
        let http = self.is_http();
        ListenerReport {
            name: Arc::clone(&config.name),
            protocol: config.protocol,
            address: config.address,
            bound: acceptor.is_some(),
            kernel_drops: acceptor.map_or(0, Acceptor::kernel_drops),
            counts: self.counts.borrow().clone(),
            security_group: self.decisions.borrow().report(),
            http: http.then(|| self.http_counts.borrow().clone()),
            connect_us: histograms.connect_us.clone(),
            first_byte_us: histograms.first_byte_us.clone(),
            duration_us: histograms.duration_us.clone(),
            request_us: histograms.request_us.clone(),
        }
    }
}
