//! Futures dropped at random while the kernel works for them.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use weir::ring::{Bell, Event, Ring, Stream, TICK, TcpListener, TcpStream};

use super::{Before, Tasks, buffer, connect, listener, on_ring};

const TASKS: u64 = 64;
const CONNECTIONS_A_TASK: usize = 80;

#[test]
fn futures_dropped_at_any_moment_leave_nothing_behind() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (listener, address) = listener(&ring);
        let (servers, clients) = (Tasks::default(), Tasks::default());
        servers.spawn(&ring, serve_for_as_long(ring.clone(), listener, servers.clone(), clients.clone()));
        for seed in 0..TASKS {
            clients.spawn(&ring, attack(ring.clone(), address, fastrand::Rng::with_seed(seed)));
        }
        servers.done(&ring).await;
        before.again(&ring).await;
    });
}

/// Accepts until the clients are done, and treats each connection as badly as they do.
async fn serve_for_as_long(ring: Ring, listener: TcpListener, servers: Tasks, clients: Tasks) {
    let mut dice = fastrand::Rng::with_seed(u64::MAX);
    loop {
        match ring.timeout(TICK, pin!(listener.accept())).await {
            Ok(socket) => {
                let stream = TcpStream::new(&ring, socket.expect("accepted"));
                let dice = dice.fork();
                let ring = ring.clone();
                servers.spawn(&ring.clone(), async move { mistreat(&ring, stream, dice).await });
            }
            Err(_) if clients.0.get() == 0 => return,
            Err(_) => {}
        }
    }
}

async fn attack(ring: Ring, address: SocketAddr, mut dice: fastrand::Rng) {
    for _ in 0..CONNECTIONS_A_TASK {
        if dice.u8(..8) == 0 {
            abandon_others(&ring, &mut dice).await;
        }
        // The other end may have reset it before we look.
        if let Some(Ok(stream)) = give_up(&ring, &mut dice, connect(&ring, address)).await {
            mistreat(&ring, stream, dice.fork()).await;
        }
    }
}

/// A listener, a bell and a deadline, each waited for and given up.
async fn abandon_others(ring: &Ring, dice: &mut fastrand::Rng) {
    let (listener, _) = listener(ring);
    give_up(ring, dice, listener.accept()).await;
    let bell = Bell::new().expect("a descriptor");
    let event = Event::new(ring, &bell);
    give_up(ring, dice, event.wait()).await;
    if dice.bool() {
        bell.ring();
    }
    give_up(ring, dice, ring.sleep(Duration::from_secs(3600))).await;
}

async fn mistreat(ring: &Ring, stream: TcpStream, mut dice: fastrand::Rng) {
    for _ in 0..dice.usize(..6) {
        match dice.u8(..6) {
            0 | 1 => drop(give_up(ring, &mut dice, stream.recv()).await),
            2 | 3 => {
                let bytes = vec![7; 1 + dice.usize(..20_000)];
                drop(give_up(ring, &mut dice, stream.send(buffer(ring, &bytes))).await);
            }
            4 => drop(give_up(ring, &mut dice, stream.shutdown()).await),
            _ => drop(give_up(ring, &mut dice, ring.sleep(TICK)).await),
        }
    }
    if dice.bool() {
        stream.abort();
    }
}

/// Polls `work`, but drops it early: at once, after the first poll, some turns later or some ticks later.
async fn give_up<T>(ring: &Ring, dice: &mut fastrand::Rng, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut polls_left = match dice.u8(..5) {
        0 => 0,
        1 => 1,
        2 => dice.usize(1..20),
        _ => return ring.timeout(Duration::from_millis(dice.u64(..40)), work).await.ok(),
    };
    std::future::poll_fn(|context| {
        if polls_left == 0 {
            return Poll::Ready(None);
        }
        polls_left -= 1;
        context.waker().wake_by_ref();
        ring.note_runnable();
        work.as_mut().poll(context).map(Some)
    })
    .await
}
