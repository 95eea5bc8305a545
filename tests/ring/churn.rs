//! Connects to a target that comes and goes.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use weir::ring::{Ring, Stream, TICK, options};

use super::{Before, Tasks, connect, listener, listener_at, on_ring};

const CONCURRENT: usize = 200;

#[test]
#[ignore = "long: ./x test runs it"]
fn a_hundred_thousand_connects_to_a_closing_target_leave_nothing_behind() {
    on_ring(|ring| churn(ring, 100_000));
}

#[derive(Default)]
struct Outcomes {
    left: Cell<usize>,
    ended: Cell<usize>,
    refused: Cell<usize>,
}

async fn churn(ring: Ring, connects: usize) {
    let before = Before::now();
    let (first, address) = listener(&ring);
    drop(first);
    let outcomes = Rc::new(Outcomes { left: Cell::new(connects), ..Outcomes::default() });
    let (clients, target) = (Tasks::default(), Tasks::default());
    for _ in 0..CONCURRENT {
        clients.spawn(&ring, keep_connecting(ring.clone(), address, Rc::clone(&outcomes)));
    }
    // A task runs as soon as it is spawned: the target's ends when no client is left.
    target.spawn(&ring, come_and_go(ring.clone(), address, clients.clone()));
    clients.done(&ring).await;
    target.done(&ring).await;
    let (ended, refused) = (outcomes.ended.get(), outcomes.refused.get());
    assert_eq!(ended + refused, connects);
    assert!(ended > connects / 20 && refused > connects / 20, "one-sided: {ended} connected, {refused} refused");
    before.again(&ring).await;
}

/// Listens for a while, resets whoever comes, goes away with a backlog, comes back.
async fn come_and_go(ring: Ring, address: SocketAddr, clients: Tasks) {
    let mut dice = fastrand::Rng::with_seed(1);
    while clients.0.get() > 0 {
        let (listener, _) = listener_at(&ring, address).expect("the port is still free");
        for _ in 0..dice.usize(..400) {
            let Ok(Ok(socket)) = ring.timeout(TICK, pin!(listener.accept())).await else { break };
            options::reset(socket);
        }
        if dice.bool() {
            listener.close().await.into_iter().for_each(options::reset);
        } else {
            drop(listener);
        }
        ring.sleep(Duration::from_millis(dice.u64(..5))).await;
    }
}

async fn keep_connecting(ring: Ring, address: SocketAddr, outcomes: Rc<Outcomes>) {
    while let Some(left) = outcomes.left.get().checked_sub(1) {
        outcomes.left.set(left);
        let result = match connect(&ring, address).await {
            Ok(stream) => {
                let result = stream.recv().await;
                stream.abort();
                result.map(drop)
            }
            Err(error) => Err(error),
        };
        let count = match result.map_err(|error| error.kind()) {
            // The handle closed a listener's socket that was accepted and not taken: an orderly end.
            Ok(()) | Err(ErrorKind::ConnectionReset) => &outcomes.ended,
            Err(ErrorKind::ConnectionRefused) => &outcomes.refused,
            Err(other) => panic!("neither a reset nor a refusal: {other}"),
        };
        count.set(count.get() + 1);
        if std::ptr::eq(count, &raw const outcomes.refused) {
            ring.sleep(TICK).await;
        }
    }
}
