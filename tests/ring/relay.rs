//! The relay on real sockets: memory under a slow reader, half-closes, resets.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as BlockingListener, TcpStream as Blocking};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use weir::l4::{self, Fault, Side};
use weir::ring::{RECEIVE_QUEUE_MAX, Ring, SEND_QUEUE_MAX, Stream, TICK, TcpStream};

use super::{Before, accept, connect, listener, on_ring, pair, read_to_end, send_all, until};

const BYTES: usize = 64 << 20;
/// What a direction holds by its queues, and what the kernel received between the cancel and its completion.
const HELD_MAX: usize = 1 + SEND_QUEUE_MAX + RECEIVE_QUEUE_MAX + OVERSHOOT;
/// A multishot receive goes on until its cancel is submitted: measured, three times the kernel's 32 receives
/// (`MULTISHOT_MAX_RETRY`). With room to spare.
const OVERSHOOT: usize = 5 * 32;

#[test]
fn a_reader_that_does_not_read_costs_a_bounded_number_of_buffers() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (listener, address) = listener(&ring);
        let target = BlockingListener::bind("127.0.0.1:0").expect("a free port");
        let target_address = target.local_addr().expect("bound");
        let (go, wait) = mpsc::channel::<()>();
        let reader = std::thread::spawn(move || {
            let (mut stream, _) = target.accept().expect("a connection");
            wait.recv().expect("told to read");
            hash_to_end(&mut stream)
        });
        let sender = std::thread::spawn(move || push(&mut Blocking::connect(address).expect("connected")));
        let client = accept(&ring, &listener).await;
        let target = connect(&ring, target_address).await.expect("connected");
        let (moved, held_max) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks = super::Tasks::default();
        tasks.spawn(&ring, {
            let (again, moved, held_max) = (ring.clone(), Rc::clone(&moved), Rc::clone(&held_max));
            async move {
                let look = |_, bytes| {
                    moved.set(moved.get() + bytes);
                    held_max.set(held_max.get().max(again.counts().buffers.leased));
                };
                l4::relay(&client, &target, look).await.expect("no fault");
            }
        });
        wait_for_standstill(&ring, &moved).await;
        let held = ring.counts().buffers.leased;
        println!("stalled after {} bytes with {held} buffers; at most {} were held", moved.get(), held_max.get());
        assert!(moved.get() < BYTES, "the reader did not stop the sender");
        assert!(held <= HELD_MAX, "{held} buffers are held, {HELD_MAX} are allowed");
        go.send(()).expect("the reader waits");
        tasks.done(&ring).await;
        println!("while it ran, at most {} buffers were held", held_max.get());
        assert_eq!(moved.get(), BYTES);
        assert!(held_max.get() <= HELD_MAX, "{} buffers were held, {HELD_MAX} are allowed", held_max.get());
        // The sender waits for a close that the ring has yet to submit: whoever waits for it here must let the ring go on.
        until(&ring, "the sender sees the end", || sender.is_finished()).await;
        assert_eq!(reader.join().expect("read"), sender.join().expect("sent"));
        drop(listener);
        before.again(&ring).await;
    });
}

async fn wait_for_standstill(ring: &Ring, moved: &Cell<usize>) {
    let mut last = (usize::MAX, 0);
    until(ring, "a standstill", || {
        last = if moved.get() == last.0 { (last.0, last.1 + 1) } else { (moved.get(), 0) };
        last.0 > 0 && last.1 > 30
    })
    .await;
}

fn push(stream: &mut Blocking) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(4);
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    for _ in 0..BYTES / piece.len() {
        dice.fill(&mut piece);
        hash.update(&piece);
        stream.write_all(&piece).expect("sent");
    }
    stream.shutdown(Shutdown::Write).expect("finished");
    // The relay ends when both have finished.
    assert_eq!(stream.read(&mut piece).expect("no error"), 0);
    hash.finalize().to_vec()
}

fn hash_to_end(stream: &mut Blocking) -> Vec<u8> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match stream.read(&mut piece).expect("no error") {
            0 => return hash.finalize().to_vec(),
            count => hash.update(&piece[..count]),
        }
    }
}

/// A client and a target of this ring with the relay's two sockets between them.
async fn relayed(ring: &Ring) -> (TcpStream, (TcpStream, TcpStream), TcpStream) {
    let (listener, address) = listener(ring);
    let (client, front) = pair(ring, &listener, address).await;
    let (back, target) = pair(ring, &listener, address).await;
    (client, (front, back), target)
}

/// Relays, and resets the side that did not fail.
fn spawn_relay(ring: &Ring, (front, back): (TcpStream, TcpStream)) -> Rc<Cell<Option<Result<(), Fault>>>> {
    let result = Rc::new(Cell::new(None));
    let tell = Rc::clone(&result);
    ring.spawn(async move {
        let end = l4::relay(&front, &back, |_, _| {}).await;
        if end.is_err() {
            front.abort();
            back.abort();
        }
        tell.set(Some(end));
    });
    result
}

#[test]
fn each_side_may_finish_first_and_still_hear_the_other() {
    on_ring(|ring| async move {
        let before = Before::now();
        for client_first in [true, false] {
            let (client, middle, target) = relayed(&ring).await;
            let result = spawn_relay(&ring, middle);
            let (first, last) = if client_first { (&client, &target) } else { (&target, &client) };
            send_all(&ring, first, b"question").await.expect("sent");
            first.shutdown().await.expect("finished");
            assert_eq!(read_to_end(last).await.expect("no error"), b"question");
            ring.sleep(TICK).await;
            send_all(&ring, last, b"answer, after the other side has finished").await.expect("sent");
            last.shutdown().await.expect("finished");
            let answer = read_to_end(first).await.expect("no error");
            assert_eq!(answer, b"answer, after the other side has finished");
            ring.sleep(TICK).await;
            assert!(matches!(result.take(), Some(Ok(()))));
        }
        before.again(&ring).await;
    });
}

#[test]
fn a_reset_of_one_side_reaches_the_other_as_a_reset() {
    on_ring(|ring| async move {
        let before = Before::now();
        for side in [Side::Client, Side::Target] {
            let (client, middle, target) = relayed(&ring).await;
            let result = spawn_relay(&ring, middle);
            let (resets, hears) = if side == Side::Client { (client, target) } else { (target, client) };
            send_all(&ring, &resets, b"last words").await.expect("sent");
            assert_eq!(&hears.recv().await.expect("no error").expect("bytes")[..], b"last words");
            resets.abort();
            drop(resets);
            let end = ring.timeout(Duration::from_secs(5), pin!(hears.recv())).await.expect("heard of it");
            assert_eq!(end.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
            let fault = result.take().expect("the relay ended").expect_err("a fault");
            assert_eq!((fault.side, fault.error.kind()), (side, ErrorKind::ConnectionReset));
        }
        before.again(&ring).await;
    });
}
