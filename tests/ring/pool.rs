//! All buffers held: receives wait, nothing is lost, and everything goes on when the buffers come back.

use std::cell::Cell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream as Blocking};
use std::pin::pin;
use std::rc::Rc;
use std::thread::JoinHandle;

use socket2::SockRef;
use weir::ring::{Buf, RECEIVE_QUEUE_MAX, Ring, Stream, TICK, TcpListener, TcpStream, options};

use super::udp::{ANY_PORT, bound};
use super::udp_loss::flood;
use super::{Before, Tasks, accept, listener, on_small_ring, pattern_bytes, read_to_end, until};

const BUFFERS: usize = 256;
const CONNECTIONS: u64 = 40;
const BYTES: usize = 300_000;
/// A multishot receive goes on until its cancel is submitted: measured, three times the kernel's 32 receives
/// (`MULTISHOT_MAX_RETRY`) beyond `RECEIVE_QUEUE_MAX`. With room to spare.
const STALLED_MAX: usize = RECEIVE_QUEUE_MAX + 5 * 32;

#[test]
fn a_pool_run_dry_loses_nothing_and_recovers() {
    on_small_ring(BUFFERS, |ring| async move {
        let before = Before::now();
        let (listener, address) = listener(&ring);
        let senders: Vec<_> = (0..CONNECTIONS).map(|id| send_pattern(address, id, BYTES)).collect();
        let (holding, readers) = (Rc::new(Cell::new(true)), Tasks::default());
        for _ in 0..CONNECTIONS {
            let stream = accept(&ring, &listener).await;
            readers.spawn(&ring, hold_then_verify(ring.clone(), stream, Rc::clone(&holding)));
        }
        until(&ring, "every buffer is held", || ring.counts().buffers.leased == BUFFERS).await;
        ring.sleep(5 * TICK).await;
        let buffers = ring.counts().buffers;
        assert_eq!((buffers.leased, buffers.total, buffers.provided), (BUFFERS, BUFFERS, 0));
        assert!(buffers.ran_out > 0);
        assert!(ring.pool().take().is_none());
        holding.set(false);
        readers.done(&ring).await;
        for sender in senders {
            drop(sender.join().expect("sent"));
        }
        drop(listener);
        before.again(&ring).await;
    });
}

/// Keeps every buffer while the others do, then looks whether the bytes are still those of its connection.
async fn hold_then_verify(ring: Ring, stream: TcpStream, holding: Rc<Cell<bool>>) {
    let mut held: Vec<Buf> = Vec::new();
    let mut bytes = Vec::new();
    loop {
        // The receive that is given up at each tick must not take bytes with it.
        match ring.timeout(TICK, pin!(stream.recv())).await {
            Ok(received) => match received.expect("no error") {
                Some(buf) => held.push(buf),
                None => break,
            },
            Err(_) if holding.get() => continue,
            Err(_) => {}
        }
        if !holding.get() {
            held.drain(..).for_each(|buf| bytes.extend_from_slice(&buf));
        }
    }
    while holding.get() {
        ring.sleep(TICK).await;
    }
    held.drain(..).for_each(|buf| bytes.extend_from_slice(&buf));
    let id = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    assert!(bytes[8..] == pattern_bytes(id, 0..BYTES), "connection {id}: other bytes than were sent");
}

/// A blocking client that says who it is, sends its pattern and finishes. Closed when joined.
fn send_pattern(address: SocketAddr, id: u64, bytes: usize) -> JoinHandle<Blocking> {
    std::thread::spawn(move || {
        let mut stream = Blocking::connect(address).expect("connected");
        stream.write_all(&id.to_le_bytes()).expect("sent");
        // A test may reset it before the end.
        if stream.write_all(&pattern_bytes(id, 0..bytes)).is_ok() {
            stream.shutdown(std::net::Shutdown::Write).expect("finished");
        }
        stream
    })
}

#[test]
fn a_reader_that_stalls_with_much_received_does_not_take_the_whole_pool() {
    on_small_ring(4 * BUFFERS, |ring| async move {
        let before = Before::now();
        let (listener, address) = wide_listener(&ring);
        let sender = send_pattern(address, 0, 24 << 20);
        let stream = accept(&ring, &listener).await;
        // All that the kernel's window holds is there before the first receive.
        std::thread::sleep(30 * TICK);
        let first = stream.recv().await.expect("no error").expect("bytes");
        let mut held_max = 0;
        for _ in 0..20 {
            ring.sleep(TICK).await;
            held_max = held_max.max(ring.counts().buffers.leased);
        }
        assert!(held_max <= STALLED_MAX, "one reader that stalls holds {held_max} buffers");
        let mut bytes = first[8..].to_vec();
        drop(first);
        bytes.extend(read_to_end(&stream).await.expect("no error"));
        assert!(bytes == pattern_bytes(0, 0..24 << 20), "other bytes than were sent");
        drop((sender.join(), stream, listener));
        before.again(&ring).await;
    });
}

#[test]
fn a_reader_that_stalls_takes_no_more_when_buffers_come_back() {
    const BYTES: usize = 2 << 20;
    on_small_ring(BUFFERS / 2, |ring| async move {
        let before = Before::now();
        let (listener, address) = wide_listener(&ring);
        let mut sender = Blocking::connect(address).expect("connected");
        let stream = accept(&ring, &listener).await;
        assert!(ring.timeout(TICK, pin!(stream.recv())).await.is_err(), "its receive is armed");
        // All but one buffer are held: those that nobody was given, and those that the kernel has, with a datagram in each.
        let ours: Vec<Buf> = std::iter::from_fn(|| ring.pool().take()).collect();
        let (socket, datagrams) = bound(&ring, ANY_PORT);
        let mut theirs = Vec::new();
        while ring.counts().buffers.provided > 1 {
            flood(datagrams, 0..1).join().expect("sent");
            theirs.push(socket.recv_from().await.expect("a datagram"));
        }
        drop(socket);
        let sending = std::thread::spawn(move || {
            sender.write_all(&pattern_bytes(0, 0..BYTES)).expect("sent");
            sender.shutdown(std::net::Shutdown::Write).expect("finished");
            sender
        });
        until(&ring, "it takes the last buffer", || ring.counts().buffers.leased == BUFFERS / 2).await;
        ring.sleep(5 * TICK).await;
        drop((ours, theirs));
        ring.sleep(10 * TICK).await;
        assert_eq!(ring.counts().buffers.leased, 1, "what came back is for those who take it");
        assert!(
            read_to_end(&stream).await.expect("no error") == pattern_bytes(0, 0..BYTES),
            "other bytes than were sent"
        );
        drop((sending.join().expect("sent"), stream, listener));
        before.again(&ring).await;
    });
}

/// Accepts with the window that a fast reader's connection grows to, from the first byte on.
fn wide_listener(ring: &Ring) -> (TcpListener, SocketAddr) {
    let listening = options::listen((Ipv4Addr::LOCALHOST, 0).into(), &[0], options::Steering::ByHash, &[]);
    let socket = listening.expect("a free port").sockets.remove(0);
    SockRef::from(&socket).set_recv_buffer_size(32 << 20).expect("a large window");
    let address = SockRef::from(&socket).local_addr().expect("bound").as_socket().expect("an address");
    (TcpListener::new(ring, socket), address)
}
