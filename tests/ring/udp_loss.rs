//! More datagrams than anybody takes: what is lost is counted, by us or by the kernel, and nothing else is lost.

use std::net::{SocketAddr, UdpSocket as Blocking};
use std::ops::Range;
use std::pin::pin;
use std::thread::JoinHandle;

use weir::ring::{Buf, DATAGRAM_QUEUE_MAX, Ring, TICK, UdpSocket};

use super::udp::{ANY_PORT, bound, connected};
use super::{Before, Tasks, buffer, on_ring, on_small_ring, pattern_bytes, until};

const BUFFERS: usize = 256;
/// What a turn brings beyond the queue before the cancel is submitted: measured, 99 in the first turn of a receive and 33 in each later
/// one (the kernel's `MULTISHOT_MAX_RETRY` is 32). With room to spare.
const OVERSHOOT_MAX: usize = 5 * 32;

/// Number of a datagram and its pattern, which has a length of its own.
fn numbered(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend(pattern_bytes(number, 0..usize::try_from(number % 1400).expect("small")));
    bytes
}

fn number_of(datagram: &Buf) -> u64 {
    let number = u64::from_le_bytes(datagram[..8].try_into().expect("eight bytes"));
    assert!(datagram[..] == numbered(number), "datagram {number}: other bytes than were sent");
    number
}

/// A thread that sends these, as fast as it can.
pub fn flood(address: SocketAddr, numbers: Range<u64>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let socket = Blocking::bind(ANY_PORT).expect("a free port");
        for number in numbers {
            socket.send_to(&numbered(number), address).expect("sent");
        }
    })
}

/// Numbers of all that is still to come, once the sender is done.
async fn rest(ring: &Ring, socket: &UdpSocket) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Ok(datagram) = ring.timeout(10 * TICK, pin!(socket.recv_from())).await {
        numbers.push(number_of(&datagram.expect("no error").0));
    }
    numbers
}

/// Every datagram was received once, dropped by us or dropped by the kernel. Returns how many were received.
fn assert_accounted(socket: &UdpSocket, sent: u64, mut received: Vec<u64>) -> u64 {
    let arrived = received.len() as u64;
    received.sort_unstable();
    received.dedup();
    assert_eq!(received.len() as u64, arrived, "a datagram arrived twice");
    let (counts, kernel) = (socket.counts(), socket.kernel_drops().expect("counted"));
    let lost = counts.dropped + counts.truncated + u64::from(kernel);
    assert_eq!(arrived + lost, sent, "lost without a trace; {counts:?}, kernel {kernel}");
    arrived
}

#[test]
fn of_thousands_of_datagrams_every_one_is_received_or_counted() {
    const SENT: u64 = 20_000;
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        let sender = flood(address, 0..SENT);
        let mut received = Vec::new();
        while !sender.is_finished() {
            if let Ok(datagram) = ring.timeout(TICK, pin!(server.recv_from())).await {
                received.push(number_of(&datagram.expect("no error").0));
            }
        }
        received.extend(rest(&ring, &server).await);
        assert!(assert_accounted(&server, SENT, received) > 0);
        drop(server);
        before.again(&ring).await;
    });
}

#[test]
fn a_sender_that_waits_for_answers_loses_nothing() {
    const SENT: u64 = 4_000;
    const WINDOW: u64 = 32;
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        let (client, _) = connected(&ring, address);
        let echo = Tasks::default();
        echo.spawn(&ring, async move {
            for _ in 0..SENT {
                let (datagram, sender) = server.recv_from().await.expect("a datagram");
                server.send_to(datagram, Some(sender)).await.expect("queued");
            }
            assert_eq!((server.counts().dropped, server.kernel_drops().expect("counted")), (0, 0));
        });
        let mut received = Vec::new();
        for number in 0..SENT {
            client.send_to(buffer(&ring, &numbered(number)), None).await.expect("queued");
            if number >= WINDOW {
                received.push(number_of(&client.recv_from().await.expect("an answer").0));
            }
        }
        received.extend(rest(&ring, &client).await);
        echo.done(&ring).await;
        assert_eq!(assert_accounted(&client, SENT, received), SENT);
        drop(client);
        before.again(&ring).await;
    });
}

#[test]
fn a_reader_that_stalls_holds_its_share_and_goes_on() {
    /// So many fit into the socket's own buffer while it is empty: they arrive, however late the ring looks.
    const FIT: u64 = 50;
    on_ring(|ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        flood(address, 0..1).join().expect("sent");
        let mut received = vec![number_of(&server.recv_from().await.expect("a datagram").0)];
        let (mut sent, mut held) = (3_000, 0);
        let sender = flood(address, 1..sent);
        until(&ring, "the flood is sent", || sender.is_finished()).await;
        // It takes no more once its queue is full, or once the kernel found no buffer while something was in the queue. Of the
        // flood it may have got little: on a busy machine the kernel drops most of it before the ring has looked.
        loop {
            let held_before = held;
            flood(address, sent..sent + FIT).join().expect("sent");
            sent += FIT;
            ring.sleep(5 * TICK).await;
            held = ring.counts().buffers.leased;
            if held == held_before {
                break;
            }
        }
        assert!(held <= DATAGRAM_QUEUE_MAX + OVERSHOOT_MAX, "one reader that stalls holds {held} buffers");
        let stalled = rest(&ring, &server).await;
        assert!(stalled.len() > held, "the socket's own buffer is emptied as well");
        received.extend(stalled);
        assert_accounted(&server, sent, received);
        assert_eq!(server.counts().dropped, 0, "the kernel drops, not we");
        drop(server);
        before.again(&ring).await;
    });
}

#[test]
fn a_pool_run_dry_pauses_receives_and_recovers() {
    const SENT: u64 = 600;
    on_small_ring(BUFFERS, |ring| async move {
        let before = Before::now();
        let (server, address) = bound(&ring, ANY_PORT);
        let (idle, idle_address) = bound(&ring, ANY_PORT);
        assert!(ring.timeout(TICK, pin!(idle.recv_from())).await.is_err());
        flood(address, 0..SENT).join().expect("sent");
        let mut held = Vec::new();
        while let Ok(datagram) = ring.timeout(10 * TICK, pin!(server.recv_from())).await {
            held.push(datagram.expect("no error").0);
        }
        let buffers = ring.counts().buffers;
        assert_eq!((buffers.leased, buffers.provided), (BUFFERS, 0), "{} are held", held.len());
        assert!(buffers.ran_out > 0);
        // Starves as well, though it has nothing: its datagram waits.
        flood(idle_address, 0..1).join().expect("sent");
        assert!(ring.timeout(2 * TICK, pin!(idle.recv_from())).await.is_err());
        let mut received: Vec<u64> = held.drain(..).map(|datagram| number_of(&datagram)).collect();
        assert_eq!(number_of(&idle.recv_from().await.expect("it waited").0), 0);
        received.extend(rest(&ring, &server).await);
        assert_accounted(&server, SENT, received);
        until(&ring, "the buffers are back", || ring.counts().buffers.leased == 0).await;
        drop((server, idle));
        before.again(&ring).await;
    });
}

#[test]
fn readers_that_stall_while_buffers_are_short_leave_some_to_others() {
    const STALLED: u64 = 8;
    on_small_ring(BUFFERS, |ring| async move {
        let before = Before::now();
        let stalled: Vec<_> = (0..STALLED).map(|_| bound(&ring, ANY_PORT)).collect();
        for (socket, _) in &stalled {
            assert!(ring.timeout(TICK, pin!(socket.recv_from())).await.is_err());
        }
        for (_, address) in &stalled {
            flood(*address, 0..64).join().expect("sent");
            ring.sleep(TICK).await;
        }
        ring.sleep(5 * TICK).await;
        let buffers = ring.counts().buffers;
        assert!(buffers.leased < BUFFERS, "they took the whole pool: {buffers:?}");
        assert!(stalled.iter().any(|(socket, _)| socket.counts().dropped > 0));
        let (server, address) = bound(&ring, ANY_PORT);
        flood(address, 0..1).join().expect("sent");
        assert_eq!(number_of(&server.recv_from().await.expect("a datagram").0), 0);
        for (socket, _) in stalled {
            let received = rest(&ring, &socket).await;
            assert_accounted(&socket, 64, received);
        }
        drop(server);
        before.again(&ring).await;
    });
}
