//! What a client has to pass on its way to one listener: the balancer's group, then the listener's own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::filter::Program;
use super::group::Compiled;

/// Both groups of a listener. Both must accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The balancer's, which is asked first.
    pub balancer: Arc<Compiled>,
    /// The listener's own.
    pub listener: Arc<Compiled>,
    /// What the kernel does before a connection comes to be.
    pub filter: SocketFilter,
}

/// The groups as a filter on the listening socket (requirement A2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SocketFilter {
    /// There is none: nobody asked for it, or everyone may connect.
    #[default]
    Off,
    /// Those who are dropped get no answer from this program.
    On(Arc<Program>),
    /// The groups do not fit into a program: those who are dropped are reset at accept.
    TooLong,
}

impl SocketFilter {
    /// As the kernel takes it; empty for none.
    #[must_use]
    pub fn for_kernel(&self) -> Vec<libc::sock_filter> {
        match self {
            SocketFilter::On(program) => program.for_kernel(),
            SocketFilter::Off | SocketFilter::TooLong => Vec::new(),
        }
    }
}

impl Gate {
    /// Without a filter.
    #[must_use]
    pub fn new(balancer: Arc<Compiled>, listener: Arc<Compiled>) -> Self {
        Gate { balancer, listener, filter: SocketFilter::Off }
    }

    /// With a filter for a listening TCP socket at `address`.
    #[must_use]
    pub fn with_filter(self, address: SocketAddr) -> Self {
        let filter = match Program::new(&self, address.ip()) {
            Some(program) if program.drops_nobody() => SocketFilter::Off,
            Some(program) => SocketFilter::On(Arc::new(program)),
            None => SocketFilter::TooLong,
        };
        Gate { filter, ..self }
    }

    /// Whether a client passes both groups.
    #[must_use]
    pub fn allows(&self, client: IpAddr) -> bool {
        self.balancer.verdict(client).allowed && self.listener.verdict(client).allowed
    }
}
