//! Who else writes to a buffer that we hold? Every byte says which connection and which place it is of.

use std::rc::Rc;

use weir::l4;
use weir::ring::{BUFFER_BYTES, Buf, Ring, Stream, TICK, TcpListener, TcpStream};

use super::{Before, Tasks, accept, connect, listener, on_ring, pair, pattern_bytes, send_all};

const CONCURRENT: u64 = 50;
const ROUNDS: u64 = 60;
const RELAYED: u64 = 64;

#[test]
fn a_held_buffer_is_written_by_nobody_else() {
    on_ring(|ring| async move {
        let before = Before::now();
        let tasks = Tasks::default();
        for first in 0..CONCURRENT {
            let ring = ring.clone();
            tasks.spawn(&ring.clone(), async move {
                let mut dice = fastrand::Rng::with_seed(first);
                let (listener, address) = listener(&ring);
                for round in 0..ROUNDS {
                    let id = round * CONCURRENT + first;
                    let (client, server) = pair(&ring, &listener, address).await;
                    let bytes = 1 + dice.usize(..40_000);
                    let mut message = id.to_le_bytes().to_vec();
                    message.extend(pattern_bytes(id, 0..bytes));
                    send_all(&ring, &client, &message).await.expect("sent");
                    client.shutdown().await.expect("finished");
                    verify_at_release(&ring, &server, &mut dice).await;
                    client.abort();
                }
            });
        }
        tasks.done(&ring).await;
        before.again(&ring).await;
    });
}

/// Holds each buffer for a random time and looks at it only then.
async fn verify_at_release(ring: &Ring, stream: &TcpStream, dice: &mut fastrand::Rng) {
    let mut held: Vec<Buf> = Vec::new();
    let mut bytes = Vec::new();
    while let Some(buf) = stream.recv().await.expect("no error") {
        held.push(buf);
        match dice.u8(..8) {
            0 => ring.sleep(TICK).await,
            1 | 2 => held.drain(..).for_each(|buf| bytes.extend_from_slice(&buf)),
            _ => {}
        }
    }
    if dice.u8(..4) == 0 {
        ring.sleep(TICK).await;
    }
    held.drain(..).for_each(|buf| bytes.extend_from_slice(&buf));
    let id = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    assert!(bytes[8..] == pattern_bytes(id, 0..bytes.len() - 8), "connection {id}: somebody wrote to its buffers");
}

#[test]
fn sixty_four_connections_echoed_through_the_relay_get_their_own_bytes() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (front, address) = listener(&ring);
        let (echo, echo_address) = listener(&ring);
        let tasks = Tasks::default();
        tasks.spawn(
            &ring,
            serve(ring.clone(), echo, tasks.clone(), |_, stream| async move {
                while let Some(buf) = stream.recv().await.expect("no error") {
                    stream.send(buf).await.expect("sent");
                }
                stream.shutdown().await.expect("finished");
            }),
        );
        tasks.spawn(
            &ring,
            serve(ring.clone(), front, tasks.clone(), move |ring, client| async move {
                let target = connect(&ring, echo_address).await.expect("connected");
                l4::relay(&client, &target, |_, _| {}).await.expect("no fault");
            }),
        );
        for id in 0..RELAYED {
            let ring = ring.clone();
            tasks.spawn(&ring.clone(), async move { send_and_compare(&ring, address, id).await });
        }
        tasks.done(&ring).await;
        before.again(&ring).await;
    });
}

async fn serve<F: Future<Output = ()> + 'static>(
    ring: Ring,
    listener: TcpListener,
    tasks: Tasks,
    each: impl Fn(Ring, TcpStream) -> F,
) {
    for _ in 0..RELAYED {
        let stream = accept(&ring, &listener).await;
        tasks.spawn(&ring, each(ring.clone(), stream));
    }
}

/// Sends numbered bytes in pieces of every size and reads their echo at the same time.
async fn send_and_compare(ring: &Ring, address: std::net::SocketAddr, id: u64) {
    let mut dice = fastrand::Rng::with_seed(id);
    let sent = pattern_bytes(id, 0..dice.usize(..1_000_000));
    let stream = Rc::new(connect(ring, address).await.expect("connected"));
    let sending = Tasks::default();
    sending.spawn(ring, {
        let (ring, stream, sent) = (ring.clone(), Rc::clone(&stream), sent.clone());
        async move {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(1 + dice.usize(..BUFFER_BYTES)));
                send_all(&ring, &*stream, piece).await.expect("sent");
                rest = after;
            }
            stream.shutdown().await.expect("finished");
        }
    });
    let echoed = super::read_to_end(&*stream).await.expect("no error");
    assert!(echoed == sent, "connection {id} got other bytes than it sent");
    sending.done(ring).await;
}
