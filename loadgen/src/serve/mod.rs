//! A target to load: answers of known size after known delays, so that a benchmark needs nothing else and what it reports can be
//! checked.
//!
//!     core 0: listener --accept--> connection: request --delay, stall--> answer, or an error as often as asked for
//!     core N: the same port (SO_REUSEPORT)
//!     UDP:    a socket a core, on which each datagram is answered by itself
//!
//! As fast as we know how to make it where no delay is asked for: it must not be what limits a benchmark.

mod behaviour;
mod http;
mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use weir::ring::options::{self, Steering};
use weir::ring::{Ring, Stream, TcpListener, TcpStream, executor};

use crate::engine::Stop;
use behaviour::Behaviour;
pub use behaviour::{Manners, Stall};

/// What to serve.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where.
    pub listen: SocketAddr,
    /// An executor each. Empty: one, wherever the kernel puts it.
    pub cores: Vec<usize>,
    /// What is spoken.
    pub protocol: Protocol,
    /// How it answers.
    pub manners: Manners,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Requests and answers of fixed sizes.
    Tcp {
        /// Bytes of a request.
        request_bytes: u64,
        /// Bytes of an answer.
        response_bytes: u64,
    },
    /// HTTP/1.1: the same body for every path but `/bytes/N`, which is answered by so many.
    Http {
        /// Bytes of a body.
        body_bytes: u64,
    },
    /// A datagram for each, which repeats its first eight bytes.
    Udp {
        /// Bytes of an answer: `UDP_NUMBER_BYTES` to `DATAGRAM_BYTES_MAX`.
        response_bytes: usize,
    },
}

/// Serves until `stop`. `ready` is told the address once connections are accepted.
///
/// # Errors
/// The address cannot be bound, or a thread not be started.
pub fn run(service: &Service, stop: &Stop, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let cores = service.cores.clone();
    let sockets = listen(service)?;
    let address = options::local_address(&sockets[0])?;
    let service = Arc::new(service.clone());
    let mut threads = Vec::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        let (service, stop) = (Arc::clone(&service), stop.clone());
        let work = move |ring: io::Result<Ring>| async move {
            serve(ring?, socket, &service, index, &stop).await;
            Ok(())
        };
        threads.push(executor::spawn(&format!("weir-serve-{index}"), cores.get(index).copied(), work)?);
    }
    ready(address);
    let ended = threads.into_iter().map(|thread| {
        let result: io::Result<()> = thread.join().map_err(|error| io::Error::other(error.to_string()))?;
        result
    });
    ended.collect()
}

/// A socket a core.
fn listen(service: &Service) -> io::Result<Vec<OwnedFd>> {
    let cores = if service.cores.is_empty() { &[0][..] } else { &service.cores };
    match service.protocol {
        Protocol::Tcp { .. } | Protocol::Http { .. } => {
            options::listen(free(service.listen, Type::STREAM)?, cores, Steering::ByHash, &[])
                .map(|listening| listening.sockets)
        }
        Protocol::Udp { .. } => udp::listen(free(service.listen, Type::DGRAM)?, cores.len()),
    }
}

/// The address, with a port where none is given, if nobody has it. Our sockets share it (`SO_REUSEPORT`), one a core: without
/// a port each would take another, and two servers of one user would share their clients without a word.
fn free(address: SocketAddr, kind: Type) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    // Of TCP connections that have ended; in UDP it would share the port as well.
    socket.set_reuse_address(kind == Type::STREAM)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

async fn serve(ring: Ring, socket: OwnedFd, service: &Service, index: usize, stop: &Stop) {
    let behaviour = Rc::new(Behaviour::new(&ring, &service.manners, index as u64));
    match service.protocol {
        Protocol::Tcp { request_bytes, response_bytes } => {
            let exchange = async move |stream: &TcpStream, behaviour: &Behaviour| {
                tcp::serve(stream, behaviour, request_bytes, response_bytes).await
            };
            ring.spawn(accept(ring.clone(), socket, behaviour, exchange));
        }
        Protocol::Http { body_bytes } => {
            let exchange =
                async move |stream: &TcpStream, behaviour: &Behaviour| http::serve(stream, behaviour, body_bytes).await;
            ring.spawn(accept(ring.clone(), socket, behaviour, exchange));
        }
        Protocol::Udp { response_bytes } => ring.spawn(udp::serve(ring.clone(), socket, behaviour, response_bytes)),
    }
    while !stop.is_stopped() {
        ring.sleep(STOP_PERIOD).await;
    }
}

/// For ever: `exchange` on each connection.
async fn accept<F>(ring: Ring, socket: OwnedFd, behaviour: Rc<Behaviour>, exchange: F)
where
    F: AsyncFn(&TcpStream, &Behaviour) -> io::Result<()> + Copy + 'static,
{
    let listener = TcpListener::new(&ring, socket);
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let (stream, behaviour) = (TcpStream::new(&ring, socket), Rc::clone(&behaviour));
                ring.spawn(async move {
                    // How its connection ends is the client's business.
                    match exchange(&stream, &behaviour).await {
                        Ok(()) => drop(stream.shutdown().await),
                        Err(_) => stream.abort(),
                    }
                });
            }
            // No descriptor left, say: the backlog keeps the others until there is.
            Err(_) => ring.sleep(ACCEPT_AGAIN).await,
        }
    }
}

const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How late a signal may be noticed.
const STOP_PERIOD: Duration = Duration::from_millis(50);
