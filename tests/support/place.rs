//! Addresses that nobody else uses, and a turn for tests that need the machine to themselves.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Below the range that the kernel takes source ports from, so that no outgoing connection sits on one of ours.
const PORT_MIN: u16 = 20_000;
const PORT_MAX: u16 = 32_000;

/// Below those.
const EVERYWHERE_MIN: u16 = 18_000;
const EVERYWHERE_PORTS: u16 = 2_000;

/// Whoever is bound to it has the machine. The kernel lets go of it when the process ends, however it ends.
const TURN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 254, 0, 1)), PORT_MIN);
const TURN_PATIENCE: Duration = Duration::from_secs(600);

/// A loopback address of this process alone: all of 127/8 is ours, and a process id has 22 bits.
pub fn address() -> Ipv4Addr {
    let [_, high, middle, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | (high & 0x3f), middle, low)
}

/// An address and port that nothing listens on.
pub fn free() -> SocketAddr {
    free_on(address())
}

/// A port that nothing listens on, on an address of the test's choice.
pub fn free_on(address: impl Into<IpAddr>) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(PORT_MIN + 1);
    let address = address.into();
    // Another process may be at work on the same address: it starts elsewhere.
    let start = u16::try_from(process::id() % 4000).unwrap_or(0);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed) + start;
        assert!(port < PORT_MAX, "no port left");
        let place = SocketAddr::new(address, port);
        if is_refused(place) {
            return place;
        }
    }
}

/// All addresses of this host, and a port that no `free` gives: whoever is bound there is in the way of everyone on that port.
pub fn everywhere() -> SocketAddr {
    let first = EVERYWHERE_MIN + u16::try_from(process::id() % u32::from(EVERYWHERE_PORTS)).unwrap_or(0);
    let places = (first..EVERYWHERE_MIN + EVERYWHERE_PORTS).chain(EVERYWHERE_MIN..first);
    let mut places = places.map(|port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    places.find(|place| TcpListener::bind(place).is_ok()).expect("a port")
}

/// Nothing is bound to find out: a process that another thread starts at that moment would hold the port until it runs.
fn is_refused(place: SocketAddr) -> bool {
    TcpStream::connect(place).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Waits until no other test of this or another process has the machine. Dropping it passes the turn on.
pub fn turn() -> TcpListener {
    let deadline = Instant::now() + TURN_PATIENCE;
    loop {
        if let Ok(turn) = TcpListener::bind(TURN) {
            return turn;
        }
        assert!(Instant::now() < deadline, "another test has had the machine for {TURN_PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
}
