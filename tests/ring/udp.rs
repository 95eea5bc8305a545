//! Datagrams through the ring, one by one: addresses, lengths, errors, and handles dropped in mid-flight.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Blocking};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use socket2::SockRef;
use weir::ring::{BUFFER_BYTES, Buf, DATAGRAM_BYTES_MAX, DATAGRAMS_IN_FLIGHT_MAX, Ring, TICK, UdpSocket, options};

use super::{Before, Tasks, buffer, on_ring, pattern_bytes, until};

pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) fn bound(ring: &Ring, address: SocketAddr) -> (UdpSocket, SocketAddr) {
    let socket = options::udp_bound(address).expect("a free port");
    let address = local_address(&socket);
    (UdpSocket::new(ring, socket), address)
}

pub(super) fn connected(ring: &Ring, target: SocketAddr) -> (UdpSocket, SocketAddr) {
    let socket = options::udp_connected(target, None).expect("connected");
    let address = local_address(&socket);
    (UdpSocket::new(ring, socket), address)
}

fn local_address(socket: &impl AsFd) -> SocketAddr {
    SockRef::from(socket).local_addr().expect("bound").as_socket().expect("an IP address")
}

/// An address at which nobody receives.
fn closed_port() -> SocketAddr {
    Blocking::bind(ANY_PORT).expect("a free port").local_addr().expect("bound")
}

async fn echo_once(server: &UdpSocket) -> SocketAddr {
    let (datagram, sender) = server.recv_from().await.expect("a datagram");
    server.send_to(datagram, Some(sender)).await.expect("queued");
    sender
}

/// There and back, as `bytes` and from whom they came.
async fn round_trip(ring: &Ring, address: SocketAddr, bytes: &[u8]) {
    let (server, server_address) = bound(ring, address);
    let (client, client_address) = connected(ring, server_address);
    client.send_to(buffer(ring, bytes), None).await.expect("queued");
    assert_eq!(echo_once(&server).await, client_address);
    let (answer, sender) = client.recv_from().await.expect("an answer");
    assert_eq!(sender, server_address);
    assert!(answer[..] == *bytes, "{} other bytes than were sent", answer.len());
}

#[test]
fn datagrams_come_with_the_address_of_their_sender() {
    on_ring(|ring| async move {
        let before = Before::now();
        for address in [ANY_PORT, (Ipv6Addr::LOCALHOST, 0).into()] {
            round_trip(&ring, address, b"hello").await;
        }
        before.again(&ring).await;
    });
}

#[test]
fn datagrams_of_every_length_that_fits_a_buffer_arrive_whole() {
    on_ring(|ring| async move {
        let before = Before::now();
        for bytes in [0, 1, 1472, 9_000, DATAGRAM_BYTES_MAX - 1, DATAGRAM_BYTES_MAX] {
            for address in [ANY_PORT, (Ipv6Addr::LOCALHOST, 0).into()] {
                round_trip(&ring, address, &pattern_bytes(7, 0..bytes)).await;
            }
        }
        before.again(&ring).await;
    });
}

#[test]
fn a_source_address_may_be_chosen() {
    on_ring(|ring| async move {
        let (server, address) = bound(&ring, ANY_PORT);
        let source = Ipv4Addr::new(127, 0, 0, 9);
        let socket = options::udp_connected(address, Some(source.into())).expect("connected");
        let client_address = local_address(&socket);
        assert_eq!(client_address.ip(), source);
        UdpSocket::new(&ring, socket).send_to(buffer(&ring, b"x"), None).await.expect("queued");
        assert_eq!(server.recv_from().await.expect("a datagram").1, client_address);
    });
}

#[test]
fn an_empty_datagram_is_a_datagram_and_not_an_end() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        let (client, client_address) = connected(&ring, address);
        let lengths = [0, 3, 0, 0, 1, 0];
        for len in lengths {
            client.send_to(buffer(&ring, &b"abc"[..len]), None).await.expect("queued");
        }
        for len in lengths {
            let (datagram, sender) = server.recv_from().await.expect("a datagram");
            assert_eq!((datagram.len(), sender), (len, client_address));
        }
        drop((server, client));
        before.again(&ring).await;
    });
}

#[test]
fn a_datagram_longer_than_a_buffer_is_dropped_and_counted() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        let client = Blocking::bind(ANY_PORT).expect("a free port");
        for bytes in [DATAGRAM_BYTES_MAX + 1, BUFFER_BYTES, BUFFER_BYTES + 1, 60_000] {
            client.send_to(&vec![7; bytes], address).expect("sent");
        }
        client.send_to(b"after", address).expect("sent");
        let (datagram, _) = server.recv_from().await.expect("a datagram");
        assert_eq!(&datagram[..], b"after");
        assert_eq!((server.counts().truncated, server.counts().dropped), (4, 0));
        drop((server, client, datagram));
        before.again(&ring).await;
    });
}

#[test]
fn a_refusal_comes_out_once_and_the_socket_goes_on() {
    on_ring(|ring| async move {
        let before = Before::now();
        let address = closed_port();
        let (client, _) = connected(&ring, address);
        for _ in 0..3 {
            // The receive is posted first, so that it is what meets the error.
            assert!(ring.timeout(TICK, pin!(client.recv_from())).await.is_err(), "nothing is there yet");
            client.send_to(buffer(&ring, b"anybody?"), None).await.expect("queued");
            let error = client.recv_from().await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            assert!(ring.timeout(2 * TICK, pin!(client.recv_from())).await.is_err(), "told once");
        }
        let (server, _) = bound(&ring, address);
        client.send_to(buffer(&ring, b"now?"), None).await.expect("queued");
        echo_once(&server).await;
        assert_eq!(&client.recv_from().await.expect("an answer").0[..], b"now?");
        assert_eq!((client.counts().sent, client.counts().send_errors), (4, 0));
        drop((client, server));
        before.again(&ring).await;
    });
}

#[test]
fn the_error_of_a_send_comes_out_of_a_later_call_once() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        let nowhere = |socket: Rc<UdpSocket>, ring: Ring| async move {
            socket.send_to(buffer(&ring, b"to whom?"), None).await.expect("queued");
            until(&ring, "the send fails", || ring.counts().in_flight == 0).await;
        };
        let client = Rc::new(bound(&ring, ANY_PORT).0);
        nowhere(Rc::clone(&client), ring.clone()).await;
        let mut kept = Some(buffer(&ring, b"hello"));
        let error = poll_fn(|context| client.poll_send_to(&mut kept, Some(address), context)).await;
        assert_eq!(error.expect_err("the earlier one").raw_os_error(), Some(libc::EDESTADDRREQ));
        client.send_to(kept.take().expect("not taken"), Some(address)).await.expect("queued");
        assert_eq!(&server.recv_from().await.expect("a datagram").0[..], b"hello");
        until(&ring, "only the server receives", || ring.counts().in_flight == 1).await;
        drop(server);
        until(&ring, "nobody receives", || ring.counts().in_flight == 0).await;
        nowhere(Rc::clone(&client), ring.clone()).await;
        let error = client.recv_from().await.expect_err("a receive tells as well");
        assert_eq!(error.raw_os_error(), Some(libc::EDESTADDRREQ));
        assert!(ring.timeout(TICK, pin!(client.recv_from())).await.is_err(), "told once");
        assert_eq!((client.counts().sent, client.counts().send_errors), (1, 2));
        drop(client);
        before.again(&ring).await;
    });
}

#[test]
fn a_receive_that_waits_is_told_of_a_failed_send() {
    on_ring(|ring| async move {
        let (client, _) = bound(&ring, ANY_PORT);
        let client = Rc::new(client);
        let tasks = Tasks::default();
        let (receiver, told) = (Rc::clone(&client), Rc::new(Cell::new(None)));
        let heard = Rc::clone(&told);
        tasks.spawn(&ring, async move { heard.set(receiver.recv_from().await.err()) });
        ring.sleep(TICK).await;
        client.send_to(buffer(&ring, b"to whom?"), None).await.expect("queued");
        tasks.done(&ring).await;
        assert_eq!(told.take().and_then(|error: io::Error| error.raw_os_error()), Some(libc::EDESTADDRREQ));
    });
}

/// Queues datagrams for as long as there is room, without a turn of the driver in between.
async fn fill(ring: &Ring, socket: &UdpSocket, target: Option<SocketAddr>) -> usize {
    poll_fn(|context| {
        for queued in 0.. {
            let mut buf: Option<Buf> = Some(buffer(ring, b"one of many"));
            if !matches!(socket.poll_send_to(&mut buf, target, context), Poll::Ready(Ok(()))) {
                return Poll::Ready(queued);
            }
        }
        unreachable!("it has no end")
    })
    .await
}

#[test]
fn a_socket_dropped_with_all_in_flight_leaves_nothing_behind() {
    on_ring(|ring| async move {
        let before = Before::now();
        for target in [ANY_PORT, (Ipv6Addr::LOCALHOST, 0).into()] {
            let (server, address) = bound(&ring, target);
            let (client, _) = bound(&ring, target);
            assert!(ring.timeout(TICK, pin!(client.recv_from())).await.is_err());
            assert_eq!(fill(&ring, &client, Some(address)).await, DATAGRAMS_IN_FLIGHT_MAX);
            assert_eq!(ring.counts().in_flight, DATAGRAMS_IN_FLIGHT_MAX + 1);
            drop(client);
            assert_eq!(ring.counts().sockets, 2, "its slot waits for the last completion");
            // There was room, so they went out.
            for _ in 0..DATAGRAMS_IN_FLIGHT_MAX {
                server.recv_from().await.expect("a datagram");
            }
        }
        before.again(&ring).await;
    });
}

#[test]
fn a_socket_dropped_with_datagrams_received_gives_them_back() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        assert!(ring.timeout(TICK, pin!(server.recv_from())).await.is_err());
        let (client, _) = connected(&ring, address);
        assert_eq!(fill(&ring, &client, None).await, DATAGRAMS_IN_FLIGHT_MAX);
        until(&ring, "they are queued", || ring.counts().buffers.leased == DATAGRAMS_IN_FLIGHT_MAX).await;
        drop((server, client));
        before.again(&ring).await;
    });
}

/// A socket that is full and stays so until somebody reads: a Unix one, as one of UDP is emptied by the device.
async fn full_socket(ring: &Ring) -> (UdpSocket, UnixDatagram) {
    let (socket, far) = UnixDatagram::pair().expect("a pair");
    let socket = UdpSocket::new(ring, socket.into());
    while fill(ring, &socket, None).await > 0 {
        ring.sleep(TICK).await;
    }
    assert_eq!(ring.counts().in_flight, DATAGRAMS_IN_FLIGHT_MAX);
    (socket, far)
}

#[test]
fn sends_that_the_socket_has_no_room_for_are_given_up_when_it_is_dropped() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (socket, far) = full_socket(&ring).await;
        assert!(ring.timeout(TICK, pin!(socket.recv_from())).await.is_err());
        drop(socket);
        until(&ring, "the sends are cancelled", || ring.counts().sockets == 0).await;
        drop(far);
        before.again(&ring).await;
    });
}

#[test]
fn a_sender_goes_on_when_the_socket_has_room_again() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (socket, far) = full_socket(&ring).await;
        let socket = Rc::new(socket);
        let tasks = Tasks::default();
        for _ in 0..3 {
            let (ring, socket) = (ring.clone(), Rc::clone(&socket));
            tasks.spawn(
                &ring.clone(),
                async move { socket.send_to(buffer(&ring, b"late"), None).await.expect("queued") },
            );
        }
        ring.sleep(2 * TICK).await;
        assert_eq!(tasks.0.get(), 3, "they wait");
        far.set_nonblocking(true).expect("set");
        let mut bytes = [0; 16];
        until(&ring, "all are sent", || {
            while far.recv(&mut bytes).is_ok() {}
            ring.counts().in_flight == 0 && tasks.0.get() == 0
        })
        .await;
        assert_eq!(socket.counts().send_errors, 0);
        drop((socket, far));
        before.again(&ring).await;
    });
}

#[test]
fn a_datagram_without_an_ip_address_is_dropped_and_counted() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (socket, far) = UnixDatagram::pair().expect("a pair");
        let socket = UdpSocket::new(&ring, socket.into());
        far.send(b"from nowhere").expect("sent");
        assert!(ring.timeout(2 * TICK, pin!(socket.recv_from())).await.is_err());
        assert_eq!(socket.counts().dropped, 1);
        drop((socket, far));
        before.again(&ring).await;
    });
}

#[test]
fn many_tasks_may_wait_to_send_on_one_socket() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        let client = Rc::new(connected(&ring, address).0);
        let (tasks, total) = (Tasks::default(), 3 * DATAGRAMS_IN_FLIGHT_MAX);
        assert_eq!(fill(&ring, &client, None).await, DATAGRAMS_IN_FLIGHT_MAX);
        for _ in DATAGRAMS_IN_FLIGHT_MAX..total {
            let (ring, client) = (ring.clone(), Rc::clone(&client));
            tasks.spawn(&ring.clone(), async move {
                client.send_to(buffer(&ring, b"one of many"), None).await.expect("queued");
            });
        }
        for _ in 0..total {
            server.recv_from().await.expect("a datagram");
        }
        tasks.done(&ring).await;
        assert_eq!(client.counts().sent, total as u64);
        drop((server, client));
        before.again(&ring).await;
    });
}

#[test]
fn sockets_dropped_at_any_moment_leave_nothing_behind() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        let (clients, refused) = (Tasks::default(), closed_port());
        for seed in 0..32 {
            clients.spawn(&ring, attack(ring.clone(), address, refused, fastrand::Rng::with_seed(seed)));
        }
        while clients.0.get() > 0 {
            if let Ok(Ok((datagram, sender))) = ring.timeout(TICK, pin!(server.recv_from())).await {
                // It comes back to a socket that may be gone.
                let _ = server.send_to(datagram, Some(sender)).await;
            }
        }
        drop(server);
        before.again(&ring).await;
    });
}

async fn attack(ring: Ring, address: SocketAddr, refused: SocketAddr, mut dice: fastrand::Rng) {
    for _ in 0..60 {
        let target = if dice.u8(..4) == 0 { refused } else { address };
        let (client, _) = connected(&ring, target);
        for _ in 0..dice.usize(..6) {
            // Refusals come out of whatever comes next.
            match dice.u8(..4) {
                0 => drop(ring.timeout(TICK, pin!(client.recv_from())).await),
                1 => drop(fill(&ring, &client, None).await),
                2 => drop(client.send_to(buffer(&ring, &vec![7; dice.usize(..9_000)]), None).await),
                _ => drop(client.send_to(buffer(&ring, b"x"), Some(address)).await),
            }
        }
    }
}
