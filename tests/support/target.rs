//! Targets as threads of the test: they serve, stop as a crashed process would, keep silent, come back.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockFilter, SockRef, Socket, Type};

use super::{place, wait_until};

const BACKLOG: i32 = 1024;
const STACK_BYTES: usize = 256 * 1024;
/// How long an accept that has nothing to accept waits for the next look.
const ACCEPT_PAUSE: Duration = Duration::from_millis(1);
/// A handshake on loopback is over within microseconds of its first packet.
const HANDSHAKE: Duration = Duration::from_millis(100);

/// What a target does with a connection.
pub type Handler = Arc<dyn Fn(TcpStream) + Send + Sync>;

/// A connection that reached a target, a health check perhaps.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    pub at: Instant,
    pub from: SocketAddr,
}

/// A target. It stops when dropped.
pub struct Target {
    pub address: SocketAddr,
    handler: Handler,
    visits: Arc<Mutex<Vec<Visit>>>,
    listening: Option<Listening>,
}

struct Listening {
    socket: Arc<TcpListener>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Target {
    /// Starts one on an address of its own.
    pub fn start(handler: Handler) -> Self {
        Target::start_at(place::free(), handler)
    }

    pub fn start_at(address: SocketAddr, handler: Handler) -> Self {
        let mut target = Target { address, handler, visits: Arc::default(), listening: None };
        target.listen();
        target
    }

    /// Listens (again) on its address.
    pub fn listen(&mut self) {
        let socket = Arc::new(listener(self.address));
        let stop = Arc::new(AtomicBool::new(false));
        let accept =
            accept_loop(Arc::clone(&socket), Arc::clone(&stop), Arc::clone(&self.visits), self.handler.clone());
        let thread = thread::spawn(accept);
        self.listening = Some(Listening { socket, stop, thread });
    }

    /// Drops every first packet of a handshake from here on, as a firewall does: connects run into their timeout.
    pub fn fall_silent(&self) {
        let listening = self.listening.as_ref().expect("it listens");
        SockRef::from(&*listening.socket).attach_filter(&DROP_SYN).expect("a filter of its own socket");
    }

    /// Serves what it accepted, then listens no more: connects are refused. What is in a handshake is let in first, so no
    /// connection is lost here that its client believes to be made.
    pub fn stop(&mut self) {
        self.fall_silent();
        thread::sleep(HANDSHAKE);
        self.end();
    }

    fn end(&mut self) {
        let Some(Listening { socket, stop, thread }) = self.listening.take() else { return };
        stop.store(true, Ordering::Relaxed);
        // A handler may still be busy in its own thread; only the accept loop is awaited.
        let ended = thread.join();
        drop(socket);
        assert!(ended.is_ok() || thread::panicking(), "the accept loop of {} failed", self.address);
    }

    /// Every connection that reached it, checks included.
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().expect("no handler panics under it").clone()
    }

    /// The addresses that connections came from.
    pub fn visitors(&self) -> HashSet<IpAddr> {
        self.visits().iter().map(|visit| visit.from.ip()).collect()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.end();
    }
}

fn listener(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    // A process that another thread starts holds our descriptors for a moment: a port just closed may not be free yet.
    wait_until(&format!("{address} is free"), || socket.bind(&address.into()).is_ok());
    socket.listen(BACKLOG).expect("listen");
    socket.set_nonblocking(true).expect("O_NONBLOCK");
    socket.into()
}

/// Ends once told to stop *and* nothing is left to accept.
fn accept_loop(
    socket: Arc<TcpListener>,
    stop: Arc<AtomicBool>,
    visits: Arc<Mutex<Vec<Visit>>>,
    handler: Handler,
) -> impl FnOnce() + Send {
    move || loop {
        let stopping = stop.load(Ordering::Relaxed);
        match socket.accept() {
            Ok((stream, from)) => {
                visits.lock().expect("no handler panics under it").push(Visit { at: Instant::now(), from });
                stream.set_nonblocking(false).expect("O_NONBLOCK off");
                let handler = Arc::clone(&handler);
                let served = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || handler(stream));
                served.expect("a thread a connection");
            }
            Err(_) if stopping => return,
            Err(_) => thread::sleep(ACCEPT_PAUSE),
        }
    }
}

/// Classic BPF over the TCP header: no packet with SYN and without ACK gets in.
const DROP_SYN: [SockFilter; 5] = [
    // A = flags; A &= SYN | ACK; A == SYN ? drop : accept
    SockFilter::new(0x30, 0, 0, 13),
    SockFilter::new(0x54, 0, 0, 0x12),
    SockFilter::new(0x15, 0, 1, 0x02),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];
