//! Sockets and the core, ahead of the ring.

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

/// Accepted sockets inherit `TCP_NODELAY` from the listener.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

pub fn target_socket(domain: Domain) -> io::Result<OwnedFd> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    // SAFETY: `into_raw_fd` gives up the only owner of the descriptor, which we take over in the same expression.
    Ok(unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) })
}

pub fn pin(core: usize) -> io::Result<()> {
    // SAFETY: `cpu_set_t` is a plain bit set, valid when all zero; `CPU_SET` stays inside it (an index beyond is a bounds
    // panic); the kernel reads the set during the call only.
    let result = unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
