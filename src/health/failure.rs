//! Why a connect to a target failed: one word for metrics and logs, one sentence for whoever has to mend it (requirement H5).

use serde::{Serialize, Serializer};
use std::io::{self, ErrorKind};

/// Why a check, or any other connect to a target, failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// ECONNREFUSED: the target's host answered with a reset.
    Refused,
    /// No answer in time.
    Timeout,
    /// The connection was made and broken off.
    Reset,
    /// No way to the target's address, or nobody there.
    Unreachable,
    /// It answered a check with this status, which the group's matcher does not name.
    Status(u16),
    /// What it answered a check with is not HTTP.
    NotHttp,
    /// EPERM, EACCES: this host's own rules forbid it.
    Denied,
    /// Ours. EMFILE, ENFILE: no descriptor left.
    NoDescriptor,
    /// Ours. EADDRNOTAVAIL and its kin: no source port left, or the source address is not on this host.
    NoSourcePort,
    /// Ours. Any other failure before a packet left, by errno: no memory, a cancelled operation.
    Host(i32),
    /// Any other answer, by errno; 0 if there was none.
    Other(i32),
}

impl Failure {
    /// What the kernel's answer to a connect means. What is in doubt counts against the target: its connections would
    /// fail alike.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::from_errno(errno),
            None => Self::from_kind(error.kind()),
        }
    }

    fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ECONNREFUSED => Failure::Refused,
            libc::ETIMEDOUT => Failure::Timeout,
            libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE | libc::ENOTCONN => Failure::Reset,
            libc::EHOSTUNREACH | libc::EHOSTDOWN | libc::ENETUNREACH | libc::ENETDOWN => Failure::Unreachable,
            libc::EPERM | libc::EACCES => Failure::Denied,
            libc::EMFILE | libc::ENFILE => Failure::NoDescriptor,
            // EAGAIN: the range of local ports is used up (connect(2)).
            libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN => Failure::NoSourcePort,
            libc::ENOMEM | libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EBADF | libc::EINVAL => {
                Failure::Host(errno)
            }
            _ => Failure::Other(errno),
        }
    }

    /// Errors that our own code made have no errno.
    fn from_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ConnectionRefused => Failure::Refused,
            ErrorKind::TimedOut => Failure::Timeout,
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Failure::Reset,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => Failure::Unreachable,
            ErrorKind::PermissionDenied => Failure::Denied,
            ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => Failure::NoSourcePort,
            ErrorKind::OutOfMemory => Failure::Host(libc::ENOMEM),
            ErrorKind::Interrupted => Failure::Host(libc::EINTR),
            _ => Failure::Other(0),
        }
    }

    /// Whether it is this host's fault and tells nothing about the target.
    #[must_use]
    pub fn is_ours(self) -> bool {
        match self {
            Failure::NoDescriptor | Failure::NoSourcePort | Failure::Host(_) => true,
            Failure::Refused
            | Failure::Timeout
            | Failure::Reset
            | Failure::Unreachable
            | Failure::Status(_)
            | Failure::NotHttp
            | Failure::Denied
            | Failure::Other(_) => false,
        }
    }

    /// As the API and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::Timeout => "timeout",
            Failure::Reset => "reset",
            Failure::Unreachable => "unreachable",
            Failure::Status(_) => "status",
            Failure::NotHttp => "not_http",
            Failure::Denied => "denied",
            Failure::NoDescriptor => "no_descriptor",
            Failure::NoSourcePort => "no_source_port",
            Failure::Host(_) => "host",
            Failure::Other(_) => "other",
        }
    }

    /// The kernel's number where `as_str` does not say it all.
    #[must_use]
    pub fn errno(self) -> Option<i32> {
        match self {
            Failure::Host(errno) | Failure::Other(errno) if errno != 0 => Some(errno),
            _ => None,
        }
    }

    /// The status that a target answered a check with.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        if let Failure::Status(status) = self { Some(status) } else { None }
    }

    /// What the operator looks at next.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Failure::Refused => {
                "nothing listens on that address and port: is the service up, does it listen on this address and not only \
                 on loopback, and is the check port right?"
            }
            Failure::Timeout => {
                "no answer in time: does a firewall or security group drop packets from the balancer's address, is the \
                 machine up, or is its accept queue full?"
            }
            Failure::Reset => {
                "connected, then broken off: does the service close on an overload or an access list, or does something \
                 between cut connections?"
            }
            Failure::Unreachable => {
                "no way to that address: is the machine up, is the address right, and does `ip route get` on the balancer \
                 know a route to it?"
            }
            Failure::Status(_) => {
                "it answers, with a status that the matcher does not name: ask for the check's path by hand (`curl -I`), and \
                 look at the path, the host and the matcher of the health check"
            }
            Failure::NotHttp => "it answers, and not in HTTP: is the check's port that of another protocol, TLS say?",
            Failure::Denied => {
                "the balancer's own host forbids the connection: look at the output rules (`nft list ruleset`) and at \
                 routes of type prohibit"
            }
            Failure::NoDescriptor => {
                "the balancer has no file descriptor left; this says nothing about the target: raise LimitNOFILE (or \
                 fs.file-max), or look for connections that never end"
            }
            Failure::NoSourcePort => {
                "the balancer has no source port left for that target, or the source address is not on this host; this \
                 says nothing about the target: look at `ip address`, widen net.ipv4.ip_local_port_range, add targets or \
                 source addresses"
            }
            Failure::Host(_) => {
                "the balancer's host could not make the check; this says nothing about the target: look at its memory and \
                 at the kernel's log for that errno"
            }
            Failure::Other(_) => {
                "an answer that we do not know: try the same connection from the balancer by hand, and look up the errno"
            }
        }
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
