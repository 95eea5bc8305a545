//! A datagram for a datagram: its first eight bytes again, then filler up to the size of an answer.
//!
//!     received --fails, as often as asked for--> nothing
//!        |`------due at once--> sent
//!         `------due later----> number and client wait (`DELAYED_MAX` at most) --> sent
//!
//! What waits holds no buffer and holds up nobody else. An error is a client's, whose answer did not go out: nothing of it
//! concerns the others, and a client learns of it as it learns of a lost datagram.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use quanta::Instant;
use weir::ring::{Ring, UdpSocket, options};

use super::behaviour::{Behaviour, Verdict};
use crate::workload::{FILLER, UDP_NUMBER_BYTES};

/// One socket a core for the same address, in the order of `cores`.
pub(super) fn listen(address: SocketAddr, cores: usize) -> io::Result<Vec<OwnedFd>> {
    let first = options::udp_bound(address)?;
    // Port 0 has become one.
    let address = options::local_address(&first)?;
    let others = (1..cores).map(|_| options::udp_bound(address));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// For ever.
pub(super) async fn serve(ring: Ring, socket: OwnedFd, behaviour: Rc<Behaviour>, response_bytes: usize) {
    let socket = UdpSocket::new(&ring, socket);
    let server =
        Rc::new(Server { ring, socket, behaviour, response_bytes, delayed: Cell::new(0), full: Cell::new(false) });
    loop {
        let Ok((request, client)) = server.socket.recv_from().await else { continue };
        let number = Number::of(&request);
        drop(request);
        if server.behaviour.verdict() == Verdict::Fail {
            continue;
        }
        match server.behaviour.due() {
            None => server.answer(number, client).await,
            Some(due) => server.answer_later(number, client, due),
        }
    }
}

/// One core's.
struct Server {
    ring: Ring,
    socket: UdpSocket,
    behaviour: Rc<Behaviour>,
    response_bytes: usize,
    /// Answers that wait until they are due.
    delayed: Cell<usize>,
    /// There have been too many of them.
    full: Cell<bool>,
}

impl Server {
    /// Waits while the socket has no room. Without a buffer there is no answer.
    async fn answer(&self, number: Number, client: SocketAddr) {
        let Some(mut buf) = self.ring.pool().take() else { return };
        let number = number.bytes();
        buf.append(number);
        buf.append(&FILLER[number.len()..self.response_bytes]);
        // An error is one of an earlier answer.
        let _ = self.socket.send_to(buf, Some(client)).await;
    }

    fn answer_later(self: &Rc<Self>, number: Number, client: SocketAddr, due: Instant) {
        if self.delayed.get() >= DELAYED_MAX {
            return self.note_full();
        }
        self.delayed.set(self.delayed.get() + 1);
        let server = Rc::clone(self);
        self.ring.spawn(async move {
            server.ring.alarm(due).await;
            server.delayed.set(server.delayed.get() - 1);
            server.answer(number, client).await;
        });
    }

    #[cold]
    fn note_full(&self) {
        if !self.full.replace(true) {
            crate::cli::say(&format!(
                "weir-loadgen: {DELAYED_MAX} answers of a core wait until they are due: more datagrams get none; use more --cores or less --delay"
            ));
        }
    }
}

/// What an answer repeats: the first eight bytes, or all that there are.
#[derive(Debug, Clone, Copy)]
struct Number {
    bytes: [u8; UDP_NUMBER_BYTES],
    length: usize,
}

impl Number {
    fn of(request: &[u8]) -> Self {
        let length = request.len().min(UDP_NUMBER_BYTES);
        let mut bytes = [0; UDP_NUMBER_BYTES];
        bytes[..length].copy_from_slice(&request[..length]);
        Number { bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Answers of a core that wait until they are due: a second's worth at 128,000 a second, some 64 MiB. Beyond, a datagram gets
/// no answer, as from any service whose queue is full.
const DELAYED_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_requests_are_repeated_as_they_are() {
        for request in [&b""[..], b"a", b"1234567", b"12345678", b"123456789"] {
            assert_eq!(Number::of(request).bytes(), &request[..request.len().min(8)]);
        }
    }

    #[test]
    fn the_cores_of_port_0_share_one_port() {
        let sockets = listen("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let addresses: Vec<SocketAddr> = sockets.iter().map(|socket| options::local_address(socket).unwrap()).collect();
        assert!(addresses.len() == 3 && addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
    }
}
