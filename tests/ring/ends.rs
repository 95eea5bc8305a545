//! How connections do not come about, and what is left when a ring ends.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};
use weir::ring::{Bell, Event, Ring, Stream, TICK, TcpListener};

use super::{ALONE, Before, PATIENCE, connect, descriptors, listener, on_ring, pair};

#[test]
fn a_closed_port_refuses() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (gone, address) = listener(&ring);
        drop(gone);
        ring.sleep(TICK).await;
        let error = connect(&ring, address).await.err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        before.again(&ring).await;
    });
}

#[test]
fn a_target_with_a_full_backlog_runs_into_the_timeout_and_nothing_is_left() {
    on_ring(|ring| async move {
        let before = Before::now();
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        full.listen(0).expect("listens");
        let address = full.local_addr().expect("bound").as_socket().expect("an address");
        let mut waiting = Vec::new();
        let late = loop {
            match ring.timeout(10 * TICK, pin!(connect(&ring, address))).await {
                Ok(connected) => waiting.push(connected.expect("connected")),
                Err(late) => break late,
            }
            assert!(waiting.len() < 16, "the backlog has no end");
        };
        assert_eq!(late.to_string(), "timed out");
        waiting.iter().for_each(Stream::abort);
        drop((waiting, full));
        before.again(&ring).await;
    });
}

#[test]
fn with_no_descriptor_left_connections_wait_and_are_accepted_later() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (listener, address) = listener(&ring);
        let clients: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect(address).expect("connected")).collect();
        let null = std::fs::File::open("/dev/null").expect("a file");
        let all: Vec<_> = std::iter::from_fn(|| null.try_clone().ok()).collect();
        for _ in 0..3 {
            let error = listener.accept().await.expect_err("no descriptor");
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        }
        drop((all, null));
        for _ in &clients {
            drop(ring.timeout(PATIENCE, pin!(listener.accept())).await.expect("not lost").expect("accepted"));
        }
        drop((listener, clients));
        before.again(&ring).await;
    });
}

#[test]
fn a_listener_that_closes_hands_over_what_was_complete_and_is_gone() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (listener, address) = listener(&ring);
        let mut clients = vec![connect(&ring, address).await.expect("connected")];
        let mut servers = vec![listener.accept().await.expect("accepted")];
        for _ in 0..3 {
            clients.push(connect(&ring, address).await.expect("connected"));
        }
        servers.extend(listener.close().await);
        assert_eq!(servers.len(), clients.len(), "a connection was lost");
        let error = connect(&ring, address).await.err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        for (client, server) in clients.iter().zip(servers) {
            let server = weir::ring::TcpStream::new(&ring, server);
            server.send(super::buffer(&ring, b"served")).await.expect("sent");
            server.shutdown().await.expect("finished");
            assert_eq!(super::read_to_end(client).await.expect("no error"), b"served");
        }
        drop(clients);
        before.again(&ring).await;
    });
}

#[test]
fn a_listener_that_is_dropped_closes_what_it_accepted() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (listener, address) = listener(&ring);
        begin(listener.accept()).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(connect(&ring, address).await.expect("connected"));
        }
        drop(listener);
        for client in clients {
            let end = ring.timeout(PATIENCE, pin!(client.recv())).await.expect("closed");
            assert!(end.as_ref().is_ok_and(Option::is_none) || end.is_err(), "{end:?}");
        }
        before.again(&ring).await;
    });
}

#[test]
fn a_ring_that_ends_with_operations_in_flight_closes_everything() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let shard = LocalExecutorBuilder::new(Placement::Unbound).io_memory(64 << 10).spawn(|| async {
        let before = descriptors();
        let ring = Ring::new().expect("a ring");
        // Not driven: what is submitted here completes, or is cancelled, while the ring is dropped.
        let (listener, address) = listener(&ring);
        let peer = std::net::TcpStream::connect(address).expect("connected");
        let blocking = std::net::TcpStream::connect(address).expect("connected");
        let stream = weir::ring::TcpStream::new(&ring, blocking.into());
        let bell = Bell::new().expect("a descriptor");
        let event = Event::new(&ring, &bell);
        begin(listener.accept()).await;
        begin(stream.recv()).await;
        begin(event.wait()).await;
        begin(connect(&ring, address)).await;
        assert_eq!(ring.counts().in_flight, 4);
        drop((peer, stream, listener, bell, event));
        drop(ring);
        assert_eq!(descriptors(), before, "descriptors leaked");
    });
    shard.expect("an executor").join().expect("the test ends without a panic");
}

/// Polls once and drops.
async fn begin(work: impl Future) {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        let _ = work.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
}

#[test]
fn a_slot_is_free_only_after_its_last_completion_and_strays_never_come() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (listener, address): (TcpListener, _) = listener(&ring);
        for _ in 0..500 {
            let (client, server) = pair(&ring, &listener, address).await;
            begin(client.recv()).await;
            begin(server.recv()).await;
            // Bytes and the cancel meet in the kernel.
            drop(client.send(super::buffer(&ring, b"too late")).await);
            drop(server);
            client.abort();
            drop(client);
            assert!(ring.counts().sockets > 0, "freed with operations in flight");
        }
        drop(listener);
        before.again(&ring).await;
        let _ = ring.timeout(Duration::ZERO, pin!(ring.sleep(TICK))).await;
    });
}
