//! Orders from the control thread to a shard: a queue and an eventfd on which the shard's ring keeps a read posted, so that
//! a sleeping shard wakes at once. Answers go back through a oneshot of the order.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::explain::{Answer, Question};
use super::report::ShardReport;
use crate::config::Snapshot;
use crate::ring::Bell;

/// What control asks of a shard. An order whose answer nobody awaits any more is carried out all the same.
#[derive(Debug)]
pub enum Order {
    /// Run on another snapshot.
    Apply(Apply),
    /// Answer: are you there?
    Ping(oneshot::Sender<()>),
    /// Say what you hold and have counted.
    Report(oneshot::Sender<Box<ShardReport>>),
    /// Say who would get a client's next connection or request.
    Explain(Box<Question>, oneshot::Sender<Box<Answer>>),
    /// Stop accepting, finish what runs for so long at most, then end. Answered with the number of connections that were
    /// still open and had to be reset.
    Drain(Duration, oneshot::Sender<usize>),
    /// Obey nothing more. What is still open is closed by the process's end.
    End,
}

/// A snapshot and this shard's sockets for the addresses that are new in it.
#[derive(Debug)]
pub struct Apply {
    /// What to run on.
    pub snapshot: Arc<Snapshot>,
    /// Connections that the shard may hold from now on: what a snapshot's targets and listeners leave of the descriptors.
    /// More that are open already stay.
    pub connections_max: usize,
    /// Listening sockets, already bound: binding is control's, so that a shard cannot fail where another succeeded.
    pub sockets: Vec<(SocketAddr, OwnedFd)>,
    /// Answered when connections are decided by the new snapshot.
    pub done: oneshot::Sender<()>,
}

/// Control's end of one shard's mailbox.
#[derive(Debug)]
pub struct Mailbox {
    orders: mpsc::Sender<Order>,
    bell: Bell,
}

impl Mailbox {
    pub(crate) fn new(bell: Bell) -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel();
        (Mailbox { orders: sender, bell }, receiver)
    }

    /// Hands `order` over. To a shard that has ended it is lost, and its answer's sender with it, which the asker sees.
    pub fn send(&self, order: Order) {
        let _ = self.orders.send(order);
        self.bell.ring();
    }
}
