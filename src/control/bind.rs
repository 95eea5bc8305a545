//! Which addresses a snapshot adds, and a socket a shard for each of them: all, or none with every reason.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Socket, Type};

use crate::acl::{INSTRUCTIONS_MAX, SocketFilter};
use crate::config::{Listener, Snapshot};
use crate::ring::options::{self, Steering};
use crate::shard::warn_not_filtered;

/// The sockets of one shard.
pub(super) type Sockets = Vec<(SocketAddr, OwnedFd)>;

/// A listener's address that cannot be bound.
#[derive(Debug)]
pub struct BindError {
    /// Name of the listener.
    pub listener: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// The kernel's answer.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { listener, address, error } = self;
        write!(f, "listener \"{listener}\": cannot listen on {address}: {error}; {}", mend(error, address.port()))
    }
}

/// How to mend a failed bind.
pub(super) fn mend(error: &io::Error, port: u16) -> String {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => format!("see who has it: ss -ltnp 'sport = :{port}'; stop it or choose another port"),
        Some(libc::EACCES | libc::EPERM) => {
            "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE: \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or choose a higher port"
                .to_owned()
        }
        Some(libc::EADDRNOTAVAIL) => "this host has no such address: see ip address; add it, or allow it with \
             net.ipv4.ip_nonlocal_bind=1 (net.ipv6 likewise)"
            .to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => "raise the descriptor limit: LimitNOFILE=1048576 in the unit".to_owned(),
        Some(libc::EAFNOSUPPORT) => "this host has no IPv6: use an IPv4 address".to_owned(),
        _ => "look at the kernel's log: dmesg".to_owned(),
    }
}

/// Listeners whose address is bound by `new` and was not by `old`.
pub(super) fn added<'a>(old: &Snapshot, new: &'a Snapshot) -> Vec<&'a Listener> {
    let was_bound =
        |address| old.listeners.iter().any(|listener| listener.address == address && old.is_bound(listener));
    new.listeners
        .iter()
        .map(Arc::as_ref)
        .filter(|listener| new.is_bound(listener) && !was_bound(listener.address))
        .collect()
}

/// Makes sure that no other process has one of the addresses.
///
/// Our sockets share their port (`SO_REUSEPORT`), so a second process of the same account would bind it without an
/// error and take a part of the connections. At start only: at a reload our own sockets would be taken for another's.
///
/// # Errors
/// Every address that is taken.
pub(super) fn probe(listeners: &[&Listener]) -> Result<(), Vec<BindError>> {
    let failed = |listener: &&Listener| Some(failure(listener, bind_alone(listener.address).err()?));
    let errors: Vec<BindError> = listeners.iter().filter_map(failed).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn bind_alone(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

/// Says which listeners reset, from now on, those whom their security groups drop, though they were to be silent: the
/// groups are too long.
pub(super) fn warn_of_long_groups(old: &Snapshot, new: &Snapshot) {
    let is_too_long = |listener: &&Arc<Listener>| listener.gate.filter == SocketFilter::TooLong;
    let is_known = |listener: &Listener| old.listeners.iter().filter(is_too_long).any(|old| old.name == listener.name);
    for listener in new.listeners.iter().filter(is_too_long).filter(|listener| !is_known(listener)) {
        tracing::warn!(
            listener = &*listener.name,
            "its security groups take more than the {INSTRUCTIONS_MAX} instructions that a socket's filter may have: \
             those who are dropped are reset at accept; join neighbouring addresses into networks, or set \
             security_group_drop = \"reset\""
        );
    }
}

/// Binds every listener once a core and deals the sockets out to the shards.
///
/// # Errors
/// Every address that cannot be bound; then nothing stays bound.
pub(super) fn bind(listeners: &[&Listener], cores: &[usize]) -> Result<Vec<Sockets>, Vec<BindError>> {
    let mut of_shards: Vec<Sockets> = cores.iter().map(|_| Vec::new()).collect();
    let mut errors = Vec::new();
    for listener in listeners {
        let filter = listener.gate.filter.for_kernel();
        let bound = match options::listen(listener.address, cores, Steering::ByCpu, &filter) {
            Ok(bound) => bound,
            Err(error) => {
                errors.push(failure(listener, error));
                continue;
            }
        };
        if let Some(error) = bound.not_steered {
            warn_not_steered(&error);
        }
        if let Some(error) = bound.not_filtered {
            warn_not_filtered(&listener.name, &error);
        }
        for (of_shard, socket) in of_shards.iter_mut().zip(bound.sockets) {
            of_shard.push((listener.address, socket));
        }
    }
    if errors.is_empty() { Ok(of_shards) } else { Err(errors) }
}

fn failure(listener: &Listener, error: io::Error) -> BindError {
    BindError { listener: Arc::clone(&listener.name), address: listener.address, error }
}

fn warn_not_steered(error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "cannot steer connections to the core that received them: {error}; the kernel's hash spreads them instead, at \
             the cost of some cache misses"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, parse};
    use std::net::TcpListener;

    fn snapshot(listeners: &[(&str, u16, &str)]) -> Snapshot {
        let mut text = String::from(
            "[[target_group]]\nname='full'\nprotocol='tcp'\ntarget=[{address='127.0.0.1',port=1}]\n\
             [[target_group]]\nname='empty'\nprotocol='tcp'\n",
        );
        for (name, port, group) in listeners {
            text +=
                &["[[listener]]\nname='", name, "'\nprotocol='tcp'\naddress='127.0.0.1:", &port.to_string()].concat();
            text += &["'\ndefault_action={forward='", group, "'}\n"].concat();
        }
        parse("t", &text, Mode::Demo).unwrap()
    }

    fn names<'a>(listeners: &[&'a Listener]) -> Vec<&'a str> {
        listeners.iter().map(|listener| &*listener.name).collect()
    }

    #[test]
    fn only_addresses_that_were_not_bound_are_added() {
        let old = snapshot(&[("a", 8001, "full"), ("b", 8002, "full")]);
        let new = snapshot(&[("renamed", 8001, "full"), ("c", 8003, "full")]);
        assert_eq!(names(&added(&old, &new)), ["c"]);
    }

    #[test]
    fn r_l4_a_listener_is_bound_once_its_group_has_a_target() {
        let (without, with) = (snapshot(&[("a", 8001, "empty")]), snapshot(&[("a", 8001, "full")]));
        let nothing = snapshot(&[]);
        assert!(added(&nothing, &without).is_empty());
        assert_eq!(names(&added(&without, &with)), ["a"]);
        assert!(added(&with, &without).is_empty());
    }

    #[test]
    fn one_address_that_is_taken_leaves_nothing_bound_and_says_who_wanted_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let (taken_port, free_port) = (taken.local_addr().unwrap().port(), free.local_addr().unwrap().port());
        drop(free);
        let snapshot = snapshot(&[("good", free_port, "full"), ("bad", taken_port, "full")]);
        let listeners: Vec<&Listener> = snapshot.listeners.iter().map(Arc::as_ref).collect();
        for errors in [probe(&listeners).unwrap_err(), bind(&listeners, &[0, 1]).map(drop).unwrap_err()] {
            let [error] = &errors[..] else { panic!("one error, not {errors:?}") };
            let text = error.to_string();
            assert!(text.starts_with(&format!("listener \"bad\": cannot listen on 127.0.0.1:{taken_port}")), "{text}");
            assert!(text.contains(&format!("ss -ltnp 'sport = :{taken_port}'")), "{text}");
        }
        TcpListener::bind(("127.0.0.1", free_port)).expect("the good one was given back");
    }

    #[test]
    fn each_shard_gets_a_socket_of_each_address() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let snapshot = snapshot(&[("a", port, "full")]);
        let listeners: Vec<&Listener> = snapshot.listeners.iter().map(Arc::as_ref).collect();
        let of_shards = bind(&listeners, &[0, 1, 2]).unwrap();
        let addresses = of_shards.iter().map(|sockets| sockets.iter().map(|(address, _)| address.port()).collect());
        assert_eq!(addresses.collect::<Vec<Vec<u16>>>(), [[port], [port], [port]]);
    }

    #[test]
    fn an_address_of_another_host_is_explained() {
        let text = mend(&io::Error::from_raw_os_error(libc::EADDRNOTAVAIL), 80);
        assert!(text.contains("ip address"), "{text}");
        let text = mend(&io::Error::from_raw_os_error(libc::EACCES), 80);
        assert!(text.contains("CAP_NET_BIND_SERVICE"), "{text}");
    }
}
